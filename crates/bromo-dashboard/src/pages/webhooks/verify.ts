import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

const TOLERANCE_S = 300;

/** Whether this delivery was signed with the secret, lately. Standard Webhooks. */
export function verifyStandard(secret: string, headers: IncomingHttpHeaders, body: Buffer): boolean {
  const [id, stamp] = [String(headers["webhook-id"] ?? ""), String(headers["webhook-timestamp"] ?? "")];
  if (!isRecent(stamp)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const mac = createHmac("sha256", key).update(`${id}.${stamp}.`).update(body).digest("base64");
  const theirs = String(headers["webhook-signature"] ?? "").split(" ");
  return theirs.some((each) => isSame(each, `v1,${mac}`));
}

function isRecent(stamp: string): boolean {
  return /^\d+$/.test(stamp) && Math.abs(Date.now() / 1000 - Number(stamp)) <= TOLERANCE_S;
}

function isSame(theirs: string, ours: string): boolean {
  const [a, b] = [Buffer.from(theirs), Buffer.from(ours)];
  return a.length === b.length && timingSafeEqual(a, b);
}
