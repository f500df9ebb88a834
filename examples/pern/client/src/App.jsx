import { useEffect, useState } from "react";
import { get, post } from "./api";
import { LogIn } from "./LogIn";
import { Posts } from "./Posts";
import { useNotifications } from "./useNotifications";

export function App() {
  const [user, setUser] = useState(undefined);
  const socket = useNotifications(user?.id);

  useEffect(() => {
    get("/auth/me").then(setUser, () => setUser(null));
  }, []);

  async function logOut() {
    await post("/auth/logout");
    setUser(null);
  }

  if (user === undefined) return null;
  return (
    <>
      <header>
        <h1>Notebook</h1>
        {user && (
          <p>
            {user.name}{" "}
            <button type="button" onClick={logOut}>
              Log out
            </button>
          </p>
        )}
      </header>
      <main>{user ? <Posts user={user} socket={socket} /> : <LogIn onDone={setUser} />}</main>
    </>
  );
}
