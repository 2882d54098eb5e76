// Every flag of tlind.
#ifndef TLIN_SERVER_FLAGS_H_
#define TLIN_SERVER_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/tls.h"

namespace tlin {

struct Flags {
  // What is served, and where.
  std::string model;       // a model directory; required
  std::string model_name;  // empty: the directory's name
  std::string listen = "127.0.0.1:50051";
  std::string metrics_listen = "127.0.0.1:9464";
  bool metrics_tls = false;  // --metrics_listen began with https://
  std::string port_file;     // empty: none

  // Who may call. After ParseFlags nothing but this machine can without
  // credentials, unless `insecure`.
  TlsFiles tls;
  std::string token_file;             // empty: none
  std::string metrics_password_file;  // empty: none
  bool insecure = false;

  // The device, and how much is set aside on it.
  std::string device = "auto";
  std::string dtype = "auto";
  std::string derived_history = "auto";
  int32_t threads = 0;             // 0: as many as the process may use
  int32_t slots = 0;               // after ParseFlags: 1 to 4096
  int64_t max_context_tokens = 0;  // 0: by architecture
  int64_t history_tokens = 0;      // 0: 8,192 a slot

  // Sessions.
  int32_t max_sessions = 4096;                      // in slots and elsewhere
  int64_t session_memory_bytes = int64_t{1} << 30;  // of states beside slots
  int64_t prefix_cache_bytes = int64_t{256} << 20;
  absl::Duration session_ttl = absl::Hours(24);  // without use
  std::string session_dir;                       // empty: none
  // A URL, or file: and the path of a file with one; empty: none. Neither: they
  // end with the process.
  std::string session_redis;
  absl::Duration session_lease = absl::Seconds(10);

  // Limits.
  int32_t max_queued_requests = 256;
  absl::Duration target_step = absl::Milliseconds(20);
  int32_t max_message_bytes = 16 << 20;
  int32_t max_streams = 1024;  // of one connection

  // Life.
  absl::Duration drain = absl::Seconds(30);
  absl::Duration stall = absl::Seconds(20);
  bool log_requests = true;

  bool help = false;
  bool version = false;
};

// `args` without the program's name: --flag=value or --flag value; a switch may
// stand alone. One message for all that is wrong, a line each, naming the
// flags. With --help or --version nothing else is checked.
absl::StatusOr<Flags> ParseFlags(absl::Span<const std::string> args);

std::string FlagsHelp();

}  // namespace tlin

#endif  // TLIN_SERVER_FLAGS_H_
