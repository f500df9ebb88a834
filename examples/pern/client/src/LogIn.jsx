import { useState } from "react";
import { post } from "./api";

export function LogIn({ onDone }) {
  const [error, setError] = useState("");

  async function logIn(event) {
    event.preventDefault();
    const { username, password } = Object.fromEntries(new FormData(event.target));
    try {
      onDone(await post("/auth/login", { username, password }));
    } catch {
      setError("That name and that password do not belong together");
    }
  }

  return (
    <form className="card login" onSubmit={logIn}>
      <h2>Log in</h2>
      <label>
        Name <input name="username" autoComplete="username" required />
      </label>
      <label>
        Password <input name="password" type="password" autoComplete="current-password" required />
      </label>
      <button type="submit">Log in</button>
      {error && <p role="alert">{error}</p>}
    </form>
  );
}
