// Answers now: as many workers as the account has slots.
//
//   export CLORO_API_KEY=sk_live_… CLORO_BASE_URL=http://127.0.0.1:8787
//   npx tsx workers.ts prompts.txt answers.jsonl        (with Node 22.18 or newer: node workers.ts …)
//
// Reads one prompt a line and writes one JSON line for each, as the answers come. Run it again to go on: what has a
// result is not asked again. Node 20 or newer, no dependencies.

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const BASE_URL = process.env.CLORO_BASE_URL ?? "http://127.0.0.1:8787";
const HEADERS = { Authorization: `Bearer ${process.env.CLORO_API_KEY}`, "Content-Type": "application/json" };
const [ENDPOINT, COUNTRY] = ["chatgpt", "US"];
const TIMEOUT_MS = 310_000; // The server answers or gives up within 290 s.
const MAY_PASS = [408, 500, 502, 503, 504]; // Worth another try; so is a connection that broke.
const TRIES_MAX = 5;
const [FIRST_WAIT_MS, WAIT_MAX_MS] = [500, 30_000];

type Problem = { code: string; message: string };
type Outcome = { result: unknown } | { error: Problem };
type Job = { line: number; prompt: string; failures: number }; // A 429 is no failure.

/** Workers that share a list of prompts. Their number follows what the headers say. */
class Pool {
  jobs: Job[];
  write: (job: Job, outcome: Outcome) => void;
  stopped: string | undefined;
  limit = 1;
  size = 1;
  workers = 0;
  refusals = 0;
  growAt = 0;
  askedAt = 0;
  running = new Set<Promise<void>>();

  constructor(jobs: Job[], write: (job: Job, outcome: Outcome) => void) {
    this.jobs = jobs;
    this.write = write;
  }

  async run(): Promise<void> {
    // Costs nothing, holds no slot, and shows the slots as they are now.
    const response = await fetch(`${BASE_URL}/v1/credits`, { headers: HEADERS });
    if (!response.ok) throw new Error((await problemOf(response)).message);
    this.limit = Number(response.headers.get("X-Concurrent-Limit"));
    this.size = Math.max(1, Number(response.headers.get("X-Concurrent-Remaining")));
    this.grow();
    while (this.running.size > 0) await Promise.race(this.running);
  }

  grow(): void {
    while (this.jobs.length > 0 && this.workers < Math.floor(this.size) && performance.now() >= this.growAt) {
      this.workers += 1;
      const worker = this.work().finally(() => this.running.delete(worker));
      this.running.add(worker);
    }
  }

  async work(): Promise<void> {
    while (this.workers <= Math.floor(this.size)) {
      const job = this.jobs.shift();
      if (job === undefined) break;
      const outcome = await this.answer(job);
      if (outcome) this.write(job, outcome);
      else this.jobs.unshift(job); // Refused: whoever is free first may take it.
    }
    this.workers -= 1;
    this.grow();
  }

  /** The result, or the error that asking again would not change; nothing after a 429. */
  async answer(job: Job): Promise<Outcome | undefined> {
    for (;;) {
      const askedAt = performance.now();
      let response: Response | undefined;
      let problem: Problem;
      try {
        response = await fetch(`${BASE_URL}/v1/monitor/${ENDPOINT}`, {
          method: "POST",
          headers: HEADERS,
          body: JSON.stringify({ prompt: job.prompt, country: COUNTRY }),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        this.learn(response, askedAt);
        if (response.ok) {
          const { result } = (await response.json()) as { result: unknown };
          this.refusals = 0;
          this.size = Math.min(this.limit, this.size + 1 / this.size); // One more after each round.
          this.grow();
          return { result };
        }
        problem = await problemOf(response);
      } catch (error) {
        response = undefined;
        problem = { code: "NO_ANSWER", message: String(error) };
      }
      if (response?.status === 429) return this.refused(response, problem);
      if (response && [401, 403].includes(response.status)) {
        this.stopped = problem.message; // It would be the same for every other prompt.
        this.jobs.length = 0;
      }
      job.failures += 1;
      if ((response && !MAY_PASS.includes(response.status)) || job.failures === TRIES_MAX) return { error: problem };
      await sleep(waitMs(response, job.failures));
    }
  }

  /** Takes the limit from the newest request: headers tell of the moment when it was admitted. */
  learn(response: Response, askedAt: number): void {
    const limit = response.headers.get("X-Concurrent-Limit");
    if (limit === null || askedAt < this.askedAt) return;
    this.askedAt = askedAt;
    this.limit = Number(limit);
    this.size = Math.min(this.size, this.limit);
  }

  /** Others have the slots: one worker less, and no new one before the wait is over. The last one waits. */
  async refused(response: Response, problem: Problem): Promise<undefined> {
    this.refusals += 1;
    const wait = waitMs(response, this.refusals);
    if (problem.code.startsWith("CONCURREN")) {
      this.size = Math.max(1, Math.min(this.size, this.workers - 1));
      this.growAt = performance.now() + wait;
      if (this.workers > 1) return;
    }
    await sleep(wait);
  }
}

/** Retry-After, if there is one, and full jitter on top: callers that were refused together come back apart. */
function waitMs(response: Response | undefined, tries: number): number {
  const asked = Number(response?.headers.get("Retry-After") ?? 0);
  return asked * 1000 + Math.random() * Math.min(WAIT_MAX_MS, FIRST_WAIT_MS * 2 ** tries);
}

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return { code: `HTTP_${response.status}`, message: text.slice(0, 200) }; // A proxy in between spoke.
  }
}

/** The lines that have their result; one that a crash left half-written is ended. */
function answered(path: string): Set<string> {
  const done = new Set<string>();
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  if (text !== "" && !text.endsWith("\n")) appendFileSync(path, "\n");
  for (const row of text.split("\n")) {
    try {
      const { line, prompt, result } = JSON.parse(row);
      if (result !== undefined) done.add(JSON.stringify([line, prompt]));
    } catch {
      continue;
    }
  }
  return done;
}

async function main(promptsFile = "prompts.txt", answersFile = "answers.jsonl"): Promise<void> {
  const done = answered(answersFile);
  const jobs = readFileSync(promptsFile, "utf8")
    .split(/\r?\n/)
    .map((prompt, index) => ({ line: index + 1, prompt, failures: 0 }))
    .filter(({ line, prompt }) => prompt.trim() !== "" && !done.has(JSON.stringify([line, prompt])));
  const pool = new Pool(jobs, ({ line, prompt }, outcome) => {
    appendFileSync(answersFile, JSON.stringify({ line, prompt, ...outcome }) + "\n");
  });
  await pool.run();
  if (pool.stopped) {
    console.error(`stopped: ${pool.stopped}`);
    process.exitCode = 1;
  }
}

void main(...process.argv.slice(2));
