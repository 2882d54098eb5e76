#include "engine/admission_queue.h"

#include <algorithm>

namespace tlin {

void AdmissionQueue::Push(std::unique_ptr<Sequence> sequence) {
  const absl::Time key =
      sequence->submitted() - kPriorityLevel * sequence->request().priority;
  tokens_ += sequence->usage().prompt_tokens;
  waiting_.emplace(Key{key, arrivals_++}, Entry{std::move(sequence), 0});
}

std::unique_ptr<Sequence> AdmissionQueue::Take(Map::iterator it) {
  std::unique_ptr<Sequence> sequence = std::move(it->second.sequence);
  waiting_.erase(it);
  tokens_ -= sequence->usage().prompt_tokens;
  return sequence;
}

std::unique_ptr<Sequence> AdmissionQueue::PopNext(Predicate fits) {
  if (waiting_.empty()) return nullptr;
  const auto first = waiting_.begin();
  if (fits(*first->second.sequence)) return Take(first);
  if (first->second.overtaken >= kMaxOvertakes) return nullptr;
  for (auto it = std::next(first); it != waiting_.end(); ++it) {
    if (!fits(*it->second.sequence)) continue;
    ++first->second.overtaken;
    return Take(it);
  }
  return nullptr;
}

std::unique_ptr<Sequence> AdmissionQueue::PopFirst() {
  return waiting_.empty() ? nullptr : Take(waiting_.begin());
}

std::vector<std::unique_ptr<Sequence>> AdmissionQueue::Extract(
    Predicate ended) {
  std::vector<std::unique_ptr<Sequence>> out;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto next = std::next(it);
    if (ended(*it->second.sequence)) out.push_back(Take(it));
    it = next;
  }
  return out;
}

absl::Time AdmissionQueue::oldest() const {
  absl::Time oldest = absl::InfiniteFuture();
  for (const auto& [key, entry] : waiting_) {
    oldest = std::min(oldest, entry.sequence->submitted());
  }
  return oldest;
}

}  // namespace tlin
