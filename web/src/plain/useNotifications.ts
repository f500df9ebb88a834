import { useEffect } from "react";
import { toast } from "react-toastify/unstyled";
import { io } from "socket.io-client";

const API_URL = import.meta.env.VITE_API_URL;

export function useNotifications(userId: string) {
  useEffect(() => {
    const socket = io(API_URL, { auth: { userId } });
    socket.on("notification", (data) => toast(data.message));
    return () => {
      socket.disconnect();
    };
  }, [userId]);
}
