// Which slots are taken. Ids only: the device memory behind them is the
// model's.
#ifndef TLIN_ENGINE_SLOT_POOL_H_
#define TLIN_ENGINE_SLOT_POOL_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/token.h"

namespace tlin {

class SlotPool;

// A slot for as long as the lease lives. Move-only; an empty lease holds
// nothing.
class SlotLease {
 public:
  SlotLease() = default;
  SlotLease(SlotLease&& other) noexcept;
  SlotLease& operator=(SlotLease&& other) noexcept;
  ~SlotLease() { Release(); }

  bool held() const { return pool_ != nullptr; }
  // REQUIRES: held().
  SlotId id() const;
  void Release();

 private:
  friend class SlotPool;
  SlotLease(SlotPool* pool, SlotId id) : pool_(pool), id_(id) {}

  SlotPool* pool_ = nullptr;
  SlotId id_ = 0;
};

// Engine thread only. Outlives its leases.
class SlotPool {
 public:
  explicit SlotPool(int32_t slots);
  // CHECKs that every lease has come back.
  ~SlotPool();
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // An empty lease when none is free.
  SlotLease Acquire();

  int32_t total() const { return static_cast<int32_t>(taken_.size()); }
  int32_t free() const { return static_cast<int32_t>(free_.size()); }
  int32_t used() const { return total() - free(); }
  // Most slots in use at once, ever.
  int32_t high_water() const { return high_water_; }

 private:
  friend class SlotLease;
  void Return(SlotId id);

  std::vector<SlotId> free_;  // a stack: the warmest slot goes out first
  std::vector<bool> taken_;   // [slots], guards against a slot returned twice
  int32_t high_water_ = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SLOT_POOL_H_
