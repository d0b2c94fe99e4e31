// Puts the events of the webhook bodies on standard input (one a line) into the queue, as ingest.js would have.
import { createInterface } from "node:readline";
import { Queue } from "bullmq";
import { connect } from "./connection.js";
import { events } from "./events.js";

const queue = new Queue("events", { connection: connect(), defaultJobOptions: { removeOnComplete: true, attempts: 3 } });
let jobs = [];
const add = async () => {
  await queue.addBulk(jobs);
  jobs = [];
};
for await (const line of createInterface({ input: process.stdin })) {
  for (const data of events(JSON.parse(line))) jobs.push({ name: data.kind, data, opts: { jobId: `${data.kind}-${data.source_id}` } });
  if (jobs.length >= 1000) await add();
}
if (jobs.length) await add();
process.exit(0);
