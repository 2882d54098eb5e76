#include "engine/admission_queue.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace tlin {

void AdmissionQueue::Push(std::unique_ptr<Sequence> sequence) {
  const absl::Time key =
      sequence->submitted() - kPriorityLevel * sequence->request().priority;
  tokens_ += sequence->usage().prompt_tokens;
  Client* const client = &clients_[sequence->request().client];
  ++client->waiting;
  waiting_.emplace(Key{key, arrivals_++},
                   Entry{std::move(sequence), client, 0});
}

void AdmissionQueue::ForgetIfGone(Clients::iterator client) {
  if (client->second.slots == 0 && client->second.waiting == 0) {
    clients_.erase(client);
  }
}

std::unique_ptr<Sequence> AdmissionQueue::Take(Map::iterator it) {
  std::unique_ptr<Sequence> sequence = std::move(it->second.sequence);
  --it->second.client->waiting;
  waiting_.erase(it);
  tokens_ -= sequence->usage().prompt_tokens;
  ForgetIfGone(clients_.find(sequence->request().client));
  return sequence;
}

void AdmissionQueue::SlotFreed(const Sequence& sequence) {
  const auto client = clients_.find(sequence.request().client);
  TLIN_CHECK(client != clients_.end() && client->second.slots > 0);
  --client->second.slots;
  ForgetIfGone(client);
}

AdmissionQueue::Map::iterator AdmissionQueue::First(Predicate wanted) {
  auto first = waiting_.end();
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    if (first != waiting_.end() && Rank(*first) < Rank(*it)) continue;
    if (wanted(*it->second.sequence)) first = it;
  }
  return first;
}

std::unique_ptr<Sequence> AdmissionQueue::PopNext(Predicate ready,
                                                  Predicate fits) {
  const auto first = First(ready);
  if (first == waiting_.end()) return nullptr;
  auto next = first;
  if (!fits(*first->second.sequence)) {
    if (first->second.overtaken >= kMaxOvertakes) return nullptr;
    next = First([&](const Sequence& sequence) {
      return ready(sequence) && fits(sequence);
    });
    if (next == waiting_.end()) return nullptr;
    ++first->second.overtaken;
  }
  ++next->second.client->slots;
  return Take(next);
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
