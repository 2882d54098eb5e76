#include "engine/tokenizer/bpe.h"

#include <functional>
#include <queue>

namespace tlin {
namespace {

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
         static_cast<uint32_t>(right);
}

}  // namespace

// A symbol of a long word. Symbols are named by the byte they begin at, which a
// merge of the left neighbour into the right one keeps.
struct Bpe::Node {
  uint32_t next;  // word.size() where there is none
  uint32_t prev;  // unused in the first
  uint32_t rank;  // of the pair with `next`; kNoMerge where none, or absorbed
  TokenId id;
};

void Bpe::AddMerge(TokenId left, TokenId right, uint32_t rank, TokenId merged) {
  merges_[PairKey(left, right)] = {rank, merged};
}

Bpe::Merge Bpe::Find(TokenId left, TokenId right) const {
  const auto it = merges_.find(PairKey(left, right));
  return it == merges_.end() ? Merge{kNoMerge, 0} : it->second;
}

void Bpe::Encode(absl::string_view word, std::vector<TokenId>* out) const {
  if (word.size() <= kShortWord) {
    EncodeShort(word, out);
  } else {
    EncodeLong(word, out);
  }
}

void Bpe::EncodeShort(absl::string_view word, std::vector<TokenId>* out) const {
  TokenId ids[kShortWord];
  Merge merges[kShortWord];  // of ids[i] with ids[i + 1]
  size_t n = word.size();
  for (size_t i = 0; i < n; ++i) {
    ids[i] = byte_ids_[static_cast<uint8_t>(word[i])];
    if (i > 0) merges[i - 1] = Find(ids[i - 1], ids[i]);
  }
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNoMerge) break;
    ids[best] = merges[best].merged;
    --n;
    for (size_t i = best + 1; i < n; ++i) {
      ids[i] = ids[i + 1];
      merges[i - 1] = merges[i];
    }
    if (best > 0) merges[best - 1] = Find(ids[best - 1], ids[best]);
    if (best + 1 < n) merges[best] = Find(ids[best], ids[best + 1]);
  }
  out->insert(out->end(), ids, ids + n);
}

void Bpe::EncodeLong(absl::string_view word, std::vector<TokenId>* out) const {
  const auto end = static_cast<uint32_t>(word.size());
  std::vector<Node> nodes(end);
  // rank << 32 | node. An entry whose rank is no longer its node's is stale.
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<uint64_t>>
      queue;
  const auto rank_pair = [&](uint32_t at) {
    Node& node = nodes[at];
    node.rank =
        node.next == end ? kNoMerge : Find(node.id, nodes[node.next].id).rank;
    if (node.rank != kNoMerge) {
      queue.push(static_cast<uint64_t>(node.rank) << 32 | at);
    }
  };
  for (uint32_t i = 0; i < end; ++i) {
    nodes[i] = {i + 1, i - 1, kNoMerge,
                byte_ids_[static_cast<uint8_t>(word[i])]};
  }
  for (uint32_t i = 0; i < end; ++i) rank_pair(i);
  while (!queue.empty()) {
    const uint64_t top = queue.top();
    queue.pop();
    const auto at = static_cast<uint32_t>(top);
    Node& left = nodes[at];
    if (left.rank != top >> 32) continue;
    Node& right = nodes[left.next];
    left.id = Find(left.id, right.id).merged;
    right.rank = kNoMerge;
    left.next = right.next;
    if (left.next != end) nodes[left.next].prev = at;
    rank_pair(at);
    if (at > 0) rank_pair(left.prev);
  }
  for (uint32_t at = 0; at < end; at = nodes[at].next) {
    out->push_back(nodes[at].id);
  }
}

}  // namespace tlin
