#include "engine/session_leases.h"

#include <utility>

namespace tlin {

void SessionLeases::With(const SessionScope& scope, Then then) {
  if (shelf_ == nullptr || scope.kind == SessionScope::Kind::kNone) {
    then(absl::OkStatus());
    return;
  }
  auto job = std::make_shared<Job>();
  job->then = std::move(then);
  if (scope.kind == SessionScope::Kind::kLook) {
    const std::string id = scope.ids.empty() ? "" : scope.ids.front();
    looking_[id].push_back(std::move(job));
    shelf_->Look(id);
    return;
  }
  job->ids = scope.ids;
  GoOn(job);
}

void SessionLeases::GoOn(const JobPtr& job) {
  while (job->held < job->ids.size()) {
    const std::string& id = job->ids[job->held];
    const auto [at, is_new] = leases_.try_emplace(id);
    Lease& lease = at->second;
    if (is_new) shelf_->Acquire(id, keeper_->KnownVersion(id));
    // One that has run out is given back first, and asked for anew.
    if (lease.state != Lease::State::kHeld || clock_->Now() >= lease.until) {
      lease.waiting.push_back(job);
      return;
    }
    ++lease.jobs;
    ++job->held;
  }
  End(job.get(), absl::OkStatus());
}

void SessionLeases::End(Job* job, const absl::Status& status) {
  job->then(status);
  for (size_t i = 0; i < job->held; ++i) {
    const auto at = leases_.find(job->ids[i]);
    if (at == leases_.end()) continue;
    --at->second.jobs;
    // What the command has made is leased, too.
    keeper_->SetLease(at->first, at->second.until);
  }
}

void SessionLeases::EndAll(std::vector<JobPtr> jobs,
                           const absl::Status& status) {
  for (const JobPtr& job : jobs) End(job.get(), status);
}

void SessionLeases::OnAcquired(const ShelfResult& result) {
  const auto at = leases_.find(result.id);
  if (at == leases_.end()) return;
  std::vector<JobPtr> jobs = std::move(at->second.waiting);
  at->second.waiting.clear();
  absl::Status status = result.snapshot.status();
  if (!status.ok()) {
    leases_.erase(at);
    return EndAll(std::move(jobs), status);
  }
  at->second.state = Lease::State::kHeld;
  at->second.until = result.lease_until;
  status = keeper_->Install(result);
  if (!status.ok()) return EndAll(std::move(jobs), status);
  for (const JobPtr& job : jobs) GoOn(job);
}

void SessionLeases::OnReleased(const std::string& id) {
  const auto at = leases_.find(id);
  if (at == leases_.end()) return;
  const std::vector<JobPtr> jobs = std::move(at->second.waiting);
  leases_.erase(at);
  keeper_->SetLease(id, absl::InfiniteFuture());
  for (const JobPtr& job : jobs) GoOn(job);
}

void SessionLeases::OnShelfResult(const ShelfResult& result) {
  if (shelf_ == nullptr) return;
  const absl::Status status = result.snapshot.status();
  if (result.operation == ShelfResult::Operation::kAcquire) {
    return OnAcquired(result);
  }
  if (result.operation == ShelfResult::Operation::kLook) {
    std::vector<JobPtr> jobs = std::move(looking_[result.id]);
    looking_.erase(result.id);
    keeper_->SetSeen(result.seen);
    return EndAll(std::move(jobs), status);
  }
  if (result.released) return OnReleased(result.id);
  const auto at = leases_.find(result.id);
  if (at == leases_.end()) return;
  Lease& lease = at->second;
  if (result.operation == ShelfResult::Operation::kRenew && status.ok()) {
    if (lease.state != Lease::State::kHeld) return;
    // What has run out stays so: its copy here may be void already.
    if (clock_->Now() >= lease.until) return;
    lease.until = result.lease_until;
    keeper_->SetLease(result.id, lease.until);
  } else if (absl::IsAborted(status)) {
    lease.until = absl::InfinitePast();
    keeper_->SetLease(result.id, lease.until);
  } else if (!status.ok() && lease.state == Lease::State::kReleasing) {
    // The store has failed; who waits is told, the write is tried again.
    EndAll(std::exchange(lease.waiting, {}), status);
  }
}

void SessionLeases::Tidy() {
  const absl::Time now = clock_->Now();
  for (auto& [id, lease] : leases_) {
    if (lease.state != Lease::State::kHeld || lease.jobs > 0) continue;
    if (now >= lease.until) {
      keeper_->SetLease(id, absl::InfinitePast());
      keeper_->Drop(id);
      // A request that runs on it is ended by the loop, before its next token.
      if (keeper_->InUse(id)) continue;
    } else if (keeper_->InUse(id)) {
      continue;
    }
    lease.state = Lease::State::kReleasing;
    shelf_->Release(id);
  }
}

void SessionLeases::RefuseAll(const absl::Status& status) {
  std::vector<JobPtr> jobs;
  for (auto& [id, lease] : leases_) {
    for (JobPtr& job : lease.waiting) jobs.push_back(std::move(job));
    lease.waiting.clear();
  }
  for (auto& [id, looking] : looking_) {
    for (JobPtr& job : looking) jobs.push_back(std::move(job));
    looking.clear();
  }
  EndAll(std::move(jobs), status);
}

}  // namespace tlin
