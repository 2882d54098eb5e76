#include "server/pending_chunks.h"

#include <iterator>
#include <utility>

namespace tlin {
namespace {

size_t WireBytes(const Chunk& chunk) {
  size_t bytes = chunk.text.size() + 4 * chunk.token_ids.size();
  for (const TokenLogprobs& logprobs : chunk.logprobs) {
    bytes += 16 + 12 * logprobs.top.size();
  }
  return bytes;
}

template <typename T>
void MoveAppend(std::vector<T>* from, std::vector<T>* to) {
  to->insert(to->end(), std::make_move_iterator(from->begin()),
             std::make_move_iterator(from->end()));
}

}  // namespace

void PendingChunks::Add(Chunk chunk) {
  const size_t bytes = WireBytes(chunk);
  if (chunks_.empty() || last_bytes_ >= kMaxChunkBytes) {
    chunks_.push_back(std::move(chunk));
    last_bytes_ = bytes;
    return;
  }
  Chunk& last = chunks_.back();
  last.text += chunk.text;
  MoveAppend(&chunk.token_ids, &last.token_ids);
  MoveAppend(&chunk.logprobs, &last.logprobs);
  last_bytes_ += bytes;
}

Chunk PendingChunks::Take() {
  Chunk chunk = std::move(chunks_.front());
  chunks_.pop_front();
  return chunk;
}

void PendingChunks::Clear() { chunks_.clear(); }

}  // namespace tlin
