// A customer of the demo target, as a component in JavaScript: `build.sh javascript` makes build/shop-javascript.wasm of
// it. What it imports is described by `python -m pytest_ipload wit`.

import { get, send } from "pytest-ipload:load/http";
import { check, measure, step } from "pytest-ipload:load/metrics";
import { TcpStream } from "pytest-ipload:load/sockets";
import { row, sourceAddress } from "pytest-ipload:load/user";

const bytes = new TextEncoder();
const text = new TextDecoder();
let name;

// What the target replies to a JSON document. Another status is the end of the iteration.
function post(path, what, status) {
  const reply = send("POST", path, [["Content-Type", "application/json"]], bytes.encode(JSON.stringify(what)), undefined);
  if (reply.status !== status) throw `POST ${path}: status ${reply.status}`;
  return JSON.parse(text.decode(reply.body));
}

// What the target sees, by a socket of the user's own; timed as "whoami by TCP".
function whoami(host, port) {
  const span = measure("whoami by TCP");
  const stream = TcpStream.connect(host, port, undefined);
  stream.send(bytes.encode("GET /whoami HTTP/1.0\r\n\r\n"), undefined);
  let reply = "";
  for (;;) {
    const part = stream.receive(4096, undefined);
    if (part.length === 0) break;
    reply += text.decode(part);
  }
  stream[Symbol.dispose]();
  span.finish(undefined);
  span[Symbol.dispose]();
  return JSON.parse(reply.split("\r\n\r\n")[1]).address;
}

// Log in as the person of the user's row. The session keeps the cookie.
export function setUp() {
  name = new Map(row("accounts")).get("name").val;
  post("/login", { name }, 200);
}

// Order something, look at it, and ask the target by TCP from where the user comes.
export function iterate(inputs) {
  const given = Object.fromEntries(inputs.map(([key, value]) => [key, value.val]));
  const cart = JSON.parse(text.decode(get("/cart").body));
  check("the cart is the user's", cart.name === name);
  const buy = step("buy");
  const { order } = post("/orders", { item: given.item }, 201);
  send("GET", `/bytes/${order}`, [], undefined, { name: "GET /bytes/{order}", expect: [], redirects: true });
  buy.finish(undefined);
  buy[Symbol.dispose]();
  const address = whoami(given.host, Number(given.port));
  check("the lease is the source", [undefined, address].includes(sourceAddress()));
  return [
    ["order", { tag: "integer", val: BigInt(order) }],
    ["address", { tag: "text", val: address }],
  ];
}

// Log out.
export function tearDown() {
  post("/logout", {}, 200);
}
