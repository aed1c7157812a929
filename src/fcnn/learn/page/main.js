// The page in a browser of its own: requests go to the server that sent it.
import { mount } from "./app.js";

async function ask(name, request) {
  const reply = await fetch(`api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  if (reply.ok) return reply.json();
  const text = await reply.text();
  let message = text;
  try { message = JSON.parse(text).error; } catch { /* a plain refusal */ }
  throw new Error(message);
}

mount(document.getElementById("app"), ask, {});
