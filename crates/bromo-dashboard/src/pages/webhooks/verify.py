import base64
import hashlib
import hmac
import time

TOLERANCE_S = 300


def verify_standard(secret: str, headers, body: bytes) -> bool:
    """Whether this delivery was signed with the secret, lately. Standard Webhooks."""
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    ours = b"v1," + base64.b64encode(mac)
    theirs = headers.get("webhook-signature", "").encode().split(b" ")
    return any([hmac.compare_digest(ours, each) for each in theirs])
