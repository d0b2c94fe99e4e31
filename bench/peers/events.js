// Meta's JSON into flat events: messages and comments, the kinds that the benchmarks send.
const message = (account, piece) => {
  const said = piece.message;
  const event = {
    kind: "message",
    account,
    person: String(piece.sender.id),
    source_id: said.mid,
    at_ms: piece.timestamp,
    text: said.text ?? "",
  };
  if (said.quick_reply) return { ...event, kind: "quick_reply", payload: said.quick_reply.payload };
  if (said.reply_to?.story) return { ...event, kind: "story_reply", media_id: said.reply_to.story.id };
  return event;
};

const comment = (account, time, { value }) => ({
  kind: "comment",
  account,
  person: String(value.from?.id ?? ""),
  source_id: value.id,
  at_ms: time * 1000,
  text: value.text ?? "",
  username: value.from?.username ?? "",
  media_id: value.media?.id ?? "",
  media_product_type: value.media?.media_product_type ?? "",
  parent_id: value.parent_id ?? "",
});

export const events = (body) => {
  const found = [];
  for (const entry of body.entry ?? []) {
    const account = String(entry.id);
    for (const piece of entry.messaging ?? []) if (piece.message && !piece.message.is_echo) found.push(message(account, piece));
    for (const change of entry.changes ?? []) if (change.field === "comments") found.push(comment(account, entry.time, change));
  }
  return found;
};
