#include "engine/slot_pool.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace tlin {

SlotLease::SlotLease(SlotLease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), id_(other.id_) {}

SlotLease& SlotLease::operator=(SlotLease&& other) noexcept {
  if (this != &other) {
    Release();
    pool_ = std::exchange(other.pool_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

SlotId SlotLease::id() const {
  TLIN_CHECK(held());
  return id_;
}

void SlotLease::Release() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->Return(id_);
}

SlotPool::SlotPool(int32_t slots) {
  TLIN_CHECK(slots > 0);
  taken_.resize(static_cast<size_t>(slots), false);
  free_.reserve(static_cast<size_t>(slots));
  for (SlotId id = slots - 1; id >= 0; --id) free_.push_back(id);
}

SlotPool::~SlotPool() { TLIN_CHECK(used() == 0); }

SlotLease SlotPool::Acquire() {
  if (free_.empty()) return SlotLease();
  const SlotId id = free_.back();
  free_.pop_back();
  taken_[static_cast<size_t>(id)] = true;
  high_water_ = std::max(high_water_, used());
  return SlotLease(this, id);
}

void SlotPool::Return(SlotId id) {
  TLIN_CHECK(taken_[static_cast<size_t>(id)]);
  taken_[static_cast<size_t>(id)] = false;
  free_.push_back(id);
}

}  // namespace tlin
