// The rows of a job, written one statement a job, or (BATCHED) with those of concurrent jobs in one statement.
import { randomBytes } from "node:crypto";
import pg from "pg";

const POOL = 20;
const STATEMENTS = 4; // at a time, when batched
const ROWS = 200; // in a statement at most

const pool = new pg.Pool({ connectionString: process.env.PEER_DATABASE_URL, max: POOL });

// Version 7: grows with time, as good for an index as a sequence.
const newId = () => {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

const DELIVERY = ["id uuid", "event_key text", "automation text", "step int", "kind text", "recipient text", "body jsonb", "once_key text"];
const EVENT = [
  "id uuid", "key text", "kind text", "lane text", "account text", "person text", "source_id text", "text text",
  "payload jsonb", "outcome text", "automation text", "rules jsonb", "received_at timestamptz",
];
const names = (columns) => columns.map((column) => column.split(" ")[0]).join(", ");
const values = (columns, from) => columns.map((column, i) => `$${from + i}::${column.split(" ")[1]}`).join(", ");
const arrays = (columns, from) => columns.map((column, i) => `$${from + i}::${column.split(" ")[1]}[]`).join(", ");

const deliveryRow = ({ key, rule, step, kind, recipient, body }) => [
  newId(), key, rule.id, step, kind, recipient, JSON.stringify(body),
  kind === "private_reply" ? `private_reply:${recipient}` : null,
];
const eventRow = ({ key, event, rule, looks, receivedAt, outcome }) => [
  newId(), key, event.kind, "default", event.account, event.person, event.source_id, event.text,
  JSON.stringify(event), outcome, rule?.id ?? null, JSON.stringify(looks), new Date(receivedAt).toISOString(),
];

// Each of the three moves of a job: its statement for one, its statement for many, its row.
const UPDATE_ONE = "UPDATE delivery SET status = 'sent', message_id = $1::text, finished_at = now() WHERE event_key = $2::text AND automation = $3::text AND step = $4::int";
const UPDATE_MANY = "UPDATE delivery d SET status = 'sent', message_id = u.m, finished_at = now() FROM unnest($1::text[], $2::text[], $3::text[], $4::int[]) AS u(m, k, a, s) WHERE d.event_key = u.k AND d.automation = u.a AND d.step = u.s";
const into = (table, columns, source) => `INSERT INTO ${table} (${names(columns)}`.concat(table === "delivery" ? ", status)" : ", finished_at)", ` SELECT ${source}`);
const insertDelivery = (from, many) =>
  many
    ? into("delivery", DELIVERY, `u.*, 'sending' FROM unnest(${arrays(DELIVERY, from)}) AS u`)
    : into("delivery", DELIVERY, `${values(DELIVERY, from)}, 'sending'`);
const insertEvent = (from, many) =>
  many ? into("event", EVENT, `u.*, now() FROM unnest(${arrays(EVENT, from)}) AS u`) : into("event", EVENT, `${values(EVENT, from)}, now()`);

const MOVES = {
  begin: {
    one: insertDelivery(1, false),
    many: insertDelivery(1, true),
    row: deliveryRow,
  },
  next: {
    one: `WITH ended AS (${UPDATE_ONE}) ${insertDelivery(5, false)}`,
    many: `WITH ended AS (${UPDATE_MANY}) ${insertDelivery(5, true)}`,
    row: (move) => [...move.ended, ...deliveryRow(move)],
  },
  end: {
    one: `WITH ended AS (${UPDATE_ONE}) ${insertEvent(5, false)}`,
    many: `WITH ended AS (${UPDATE_MANY}) ${insertEvent(5, true)}`,
    row: (move) => [...move.ended, ...eventRow(move)],
  },
  close: { one: insertEvent(1, false), many: insertEvent(1, true), row: eventRow },
};

const alone = (name, move) => pool.query({ name: `${name}-one`, text: MOVES[name].one, values: MOVES[name].row(move) });

const waiting = { begin: [], next: [], end: [], close: [] };
let running = 0;

const flush = async () => {
  const name = Object.keys(waiting).find((each) => waiting[each].length);
  if (!name || running >= STATEMENTS) return;
  running++;
  const group = waiting[name].splice(0, ROWS);
  const columns = group[0].row.map((_, i) => group.map((each) => each.row[i]));
  try {
    await pool.query({ name: `${name}-many`, text: MOVES[name].many, values: columns });
    for (const each of group) each.resolve();
  } catch (error) {
    for (const each of group) each.reject(error);
  } finally {
    running--;
  }
  flush();
};

const together = (name, move) =>
  new Promise((resolve, reject) => {
    waiting[name].push({ row: MOVES[name].row(move), resolve, reject });
    setImmediate(flush);
  });

export const write = process.env.BATCHED === "1" ? together : alone;
