// Sessions in Redis or Valkey, shared by all daemons that serve one model.
#ifndef TLIN_ENGINE_SESSION_REDIS_SESSION_STORE_H_
#define TLIN_ENGINE_SESSION_REDIS_SESSION_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/session/redis_client.h"
#include "engine/session/session_store.h"

namespace tlin {

struct RedisStoreOptions {
  // Of all keys; what shares it shares sessions.
  std::string name_space;
  absl::Duration lease = absl::Seconds(10);
  // An idle session that was not written for so long is gone.
  absl::Duration idle_time_to_live = absl::InfiniteDuration();
  int64_t max_snapshot_bytes = 0;  // a longer one is not fetched
};

// tlin:{NAMESPACE}:session:ID is a hash: snapshot, head (its first bytes, by
// themselves for Get), version, and fence, the token of its last lease.
// tlin:{NAMESPACE}:lease:ID is the token of whoever has it, and expires. Each
// operation is one script, so nothing comes between its reads and writes. It is
// as durable as the server is set to be (appendonly).
class RedisSessionStore final : public SharedSessionStore {
 public:
  // Connects with the first operation. `clock` outlives the store.
  RedisSessionStore(RedisAddress address, const RedisStoreOptions& options,
                    Clock* clock);

  // Whether the server can be reached and takes the login.
  absl::Status Check() { return client_.Run({"PING"}).status(); }

  absl::StatusOr<SessionLease> Acquire(absl::string_view id,
                                       absl::string_view known) override;
  absl::StatusOr<absl::Time> Renew(absl::string_view id) override;
  absl::Status Release(absl::string_view id) override;

  absl::Status Put(absl::string_view id, absl::string_view snapshot) override;
  // Without a lease. `most` is a snapshot's header at most, or all of it.
  absl::StatusOr<std::string> Get(absl::string_view id, int64_t most) override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<std::vector<std::string>> List() override;
  absl::Status SetAside(absl::string_view id) override;

 private:
  // Runs a script over the session's two keys.
  absl::StatusOr<RedisReply> RunScript(
      absl::string_view script, absl::string_view id,
      const std::vector<absl::string_view>& arguments);
  // A script that answers whether the lease was there.
  absl::Status RunFenced(absl::string_view script, absl::string_view id,
                         std::vector<absl::string_view> arguments);
  std::string SessionKey(absl::string_view id) const;
  std::string LeaseKey(absl::string_view id) const;
  absl::Status NotOurs(absl::string_view id) const;
  absl::Status Lost(absl::string_view id) const;

  // Constant after construction.
  const RedisStoreOptions options_;
  Clock* const clock_;
  const std::string process_;  // begins the tokens of this process
  const std::string lease_ms_;
  const std::string ttl_ms_;  // 0: none

  RedisClient client_;
  int64_t leases_made_ = 0;
  absl::flat_hash_map<std::string, std::string> tokens_;  // by id, of leases
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_REDIS_SESSION_STORE_H_
