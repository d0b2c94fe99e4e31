// The demo rules, in memory for every account: keywords as whole words, payloads as they are.
const LINK = "Here is the link you asked for: https://example.com/offer";
const dm = (text) => ({ kind: "dm", text });
const rule = (id, trigger, keywords, steps) => ({ id, trigger, keywords: new Set(keywords), steps });

const RULES = [
  rule("greeting", "message", ["hello", "hi"], [dm("Hi! Want the link?")]),
  rule("offer", "message", ["link", "price"], [dm("Here you go: https://example.com/offer")]),
  rule("yes", "quick_reply", ["FLOW_42_STEP_2_YES"], [dm("On its way: https://example.com/offer")]),
  rule("story-price", "story_reply", ["price"], [dm("Our prices: https://example.com/prices")]),
  rule("comment-link", "comment", ["link", "price"], [
    { kind: "private_reply", text: LINK },
    { kind: "public_reply", text: "Sent you a DM!" },
  ]),
];

const accounts = new Map();

const rulesOf = (account) => {
  let known = accounts.get(account);
  if (!known) accounts.set(account, (known = { token: "demo-token", rules: RULES }));
  return known;
};

const words = (text) => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? [];

// The account, the rule that answers (or none), and what was looked at.
export const decide = (event) => {
  const account = rulesOf(event.account);
  const said = event.kind === "quick_reply" ? [event.payload] : words(event.text);
  const looks = [];
  let found;
  for (const one of account.rules) {
    if (one.trigger !== event.kind) continue;
    const matched = !found && said.some((word) => one.keywords.has(word));
    if (matched) found = one;
    looks.push({ automation: one.id, matched });
  }
  return { account, rule: found, looks };
};

// The Graph API's path and body for one step.
export const call = (event, step) => {
  if (step.kind === "public_reply") return { path: `${event.source_id}/replies`, body: { message: step.text } };
  const recipient = step.kind === "private_reply" ? { comment_id: event.source_id } : { id: event.person };
  return { path: `${event.account}/messages`, body: { recipient, message: { text: step.text } } };
};
