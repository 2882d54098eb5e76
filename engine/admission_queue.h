// Requests that wait for a slot, in the order in which they should get one.
#ifndef TLIN_ENGINE_ADMISSION_QUEUE_H_
#define TLIN_ENGINE_ADMISSION_QUEUE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "engine/sequence.h"

namespace tlin {

// A level of priority is worth this much waiting: a request overtakes those of
// a higher priority that came so much later for each level. So none starves.
inline constexpr absl::Duration kPriorityLevel = absl::Seconds(10);

// A slot that a client holds already is worth this much waiting, too: where
// clients contend, who has fewer slots goes sooner.
inline constexpr absl::Duration kHeldSlot = absl::Seconds(10);

// How often the first in order may be overtaken because there is room for a
// smaller one only; after that nobody is admitted until it fits.
inline constexpr int32_t kMaxOvertakes = 16;

// Engine thread only.
class AdmissionQueue {
 public:
  using Predicate = absl::FunctionRef<bool(const Sequence&)>;

  void Push(std::unique_ptr<Sequence> sequence);

  // The next to admit, or null: nobody fits, or the first has been overtaken
  // often enough. Who is not ready could not start in any slot, so nobody waits
  // for it. Its client holds a slot more from now on. O(waiting).
  std::unique_ptr<Sequence> PopNext(Predicate ready, Predicate fits);
  // One that was popped by PopNext has no slot any more.
  void SlotFreed(const Sequence& sequence);
  // The first in order, whether it fits or not; null when empty.
  std::unique_ptr<Sequence> PopFirst();
  // Takes out all of which `ended` is true.
  std::vector<std::unique_ptr<Sequence>> Extract(Predicate ended);

  bool empty() const { return waiting_.empty(); }
  int64_t size() const { return static_cast<int64_t>(waiting_.size()); }
  // When the longest waiting came; InfiniteFuture when empty.
  absl::Time oldest() const;
  // Tokens of all prompts.
  int64_t tokens() const { return tokens_; }

 private:
  // When it came, less kPriorityLevel a level; then the order of arrival.
  using Key = std::pair<absl::Time, int64_t>;
  struct Client {
    int64_t slots = 0;    // that it holds
    int64_t waiting = 0;  // requests
  };
  // By name; there while it holds a slot or has a request here.
  using Clients = std::map<std::string, Client>;
  struct Entry {
    std::unique_ptr<Sequence> sequence;
    Client* client = nullptr;
    int32_t overtaken = 0;
  };
  using Map = std::map<Key, Entry>;

  // Its place in the order as things stand.
  static Key Rank(const Map::value_type& waiting) {
    return {waiting.first.first + kHeldSlot * waiting.second.client->slots,
            waiting.first.second};
  }
  // The first in order of which `wanted` is true, or the end.
  Map::iterator First(Predicate wanted);
  std::unique_ptr<Sequence> Take(Map::iterator it);
  void ForgetIfGone(Clients::iterator client);

  Map waiting_;
  Clients clients_;
  int64_t arrivals_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_ADMISSION_QUEUE_H_
