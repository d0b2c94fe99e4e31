// One ioredis connection. Auto-pipelining stays off: it costs this stack a quarter of its throughput at the edge.
import { Redis } from "ioredis";

export const connect = () => new Redis({ path: process.env.VALKEY_SOCKET, maxRetriesPerRequest: null });
