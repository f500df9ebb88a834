"""Self-hosted in-app notifications: a drop-in server for apps that speak to Express and Socket.IO."""

__version__ = "0.1.0"
