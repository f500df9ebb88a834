import { useEffect, useState } from "react";
import { toast } from "react-toastify";
import { io } from "socket.io-client";
import { API_URL } from "./api";

/** Toasts what the server sends; gives the socket, for typing. */
export function useNotifications(userId) {
  const [socket, setSocket] = useState(null);

  useEffect(() => {
    if (!userId) return;
    const opened = io(API_URL, { auth: { userId } });
    opened.on("notification", (data) => {
      toast(data.message);
    });
    setSocket(opened);
    return () => {
      opened.disconnect();
      setSocket(null);
    };
  }, [userId]);

  return socket;
}
