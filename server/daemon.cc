#include "server/daemon.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/library_logs.h"
#include "server/open_session_store.h"
#include "server/port_file.h"
#include "server/version.h"

namespace tlin {
namespace {

// For health watches, which end only when they are cut off, and for the last
// bytes of calls that are done.
constexpr absl::Duration kShutdownGrace = absl::Milliseconds(200);

// Clients and proxies that keep calling have not noticed yet that this server
// goes. What they are told by us, they try elsewhere; what gRPC cuts off in its
// shutdown, they cannot tell from a fault. So it shuts down in a pause between
// calls, or when they have had time for some health checks.
constexpr absl::Duration kPauseBetweenCalls = absl::Seconds(1);
constexpr absl::Duration kLongestFarewell = absl::Seconds(5);

// For the step in progress when --drain_seconds are over; steps take
// milliseconds.
constexpr absl::Duration kLastStepGrace = absl::Seconds(5);

// For sessions that changed last to be stored, a few megabytes each.
constexpr absl::Duration kStoreGrace = absl::Seconds(20);

LoadOptions MakeLoadOptions(const Flags& flags) {
  LoadOptions options;
  options.model_directory = flags.model;
  options.device = flags.device;
  options.dtype = flags.dtype;
  options.derived_history = flags.derived_history;
  options.threads = flags.threads;
  options.slots = flags.slots;
  options.most_slots = flags.max_sessions;
  options.max_context_tokens = flags.max_context_tokens;
  options.history_tokens = flags.history_tokens;
  options.free_memory_bytes = HostMemory().free;
  return options;
}

EngineOptions MakeEngineOptions(const Flags& flags) {
  EngineOptions options;
  options.max_queued_requests = flags.max_queued_requests;
  options.target_step = flags.target_step;
  options.prefix_cache_bytes = flags.prefix_cache_bytes;
  options.sessions.max_sessions = flags.max_sessions;
  options.sessions.state_memory_bytes = flags.session_memory_bytes;
  options.sessions.idle_time_to_live = flags.session_ttl;
  return options;
}

RpcServerOptions MakeRpcOptions(const Flags& flags) {
  RpcServerOptions options;
  options.listen = flags.listen;
  options.tls = flags.tls;
  options.max_message_bytes = flags.max_message_bytes;
  options.max_streams = flags.max_streams;
  options.log_requests = flags.log_requests;
  return options;
}

MetricsServerOptions MakeMetricsOptions(const Flags& flags,
                                        SecretFile* passwords) {
  MetricsServerOptions options;
  options.listen = flags.metrics_listen;
  if (flags.metrics_tls) {
    options.certificate = flags.tls.certificate;
    options.key = flags.tls.key;
  }
  options.passwords = passwords;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Flags& flags) {
  LogLibrariesAsJson();
  auto daemon = absl::WrapUnique(new Daemon(flags));
  TLIN_RETURN_IF_ERROR(daemon->ReadCredentials());
  TLIN_RETURN_IF_ERROR(daemon->Listen());
  TLIN_RETURN_IF_ERROR(daemon->Load());
  TLIN_RETURN_IF_ERROR(daemon->Serve());
  return daemon;
}

Daemon::Daemon(const Flags& flags)
    : flags_(flags), listener_(flags.model_name, &clock_) {}

Daemon::~Daemon() {
  readiness_.reset();
  // A scrape in progress reads the engine.
  metrics_server_.reset();
  // Ends every request, so that no call waits for the engine.
  if (engine_ != nullptr) engine_->Stop();
}

absl::Status Daemon::ReadCredentials() {
  TLIN_RETURN_IF_ERROR(CheckTlsFiles(flags_.tls));
  CredentialOptions options;
  options.token_file = flags_.token_file;
  options.client_certificates = !flags_.tls.client_ca.empty();
  TLIN_ASSIGN_OR_RETURN(credentials_,
                        Credentials::Open(options, &clock_, &logger_));
  if (flags_.metrics_password_file.empty()) return absl::OkStatus();
  auto passwords =
      SecretFile::Open(flags_.metrics_password_file, &clock_, &logger_);
  if (!passwords.ok()) {
    return absl::Status(passwords.status().code(),
                        absl::StrCat("--metrics_password_file: ",
                                     passwords.status().message()));
  }
  metrics_passwords_ = *std::move(passwords);
  return absl::OkStatus();
}

absl::Status Daemon::Listen() {
  TLIN_ASSIGN_OR_RETURN(metrics_server_,
                        MetricsServer::Start(MakeMetricsOptions(
                            flags_, metrics_passwords_.get())));
  metrics_server_->Add(listener_.registry());
  TLIN_ASSIGN_OR_RETURN(
      rpc_server_, RpcServer::Start(MakeRpcOptions(flags_), &clock_, &logger_,
                                    &listener_, credentials_.get()));
  return absl::OkStatus();
}

absl::Status Daemon::Load() {
  const absl::Time begin = clock_.Now();
  TLIN_ASSIGN_OR_RETURN(loaded_, LoadModel(MakeLoadOptions(flags_)));
  served_.name = flags_.model_name;
  served_.info = loaded_.model->info();
  served_.config = loaded_.config;
  served_.tokenizer = loaded_.tokenizer.get();
  served_.longest_token_bytes = LongestTokenBytes(served_.tokenizer);
  const ModelMemory memory = loaded_.model->memory();
  served_.session_cache_bytes = memory.session_cache_bytes;
  served_.max_sessions = flags_.max_sessions;
  TLIN_ASSIGN_OR_RETURN(session_store_,
                        OpenSessionStore(flags_, loaded_, &clock_));
  engine_ = Engine::Create(MakeEngineOptions(flags_), loaded_.model.get(),
                           loaded_.tokenizer.get(), loaded_.config.eos_token_id,
                           &listener_, &clock_, &logger_, session_store_.get());
  TLIN_RETURN_IF_ERROR(engine_->Restore());
  served_.engine = engine_.get();
  served_.step_prices = [this] { return listener_.StateNow().step_prices; };
  state_ = std::make_shared<StateCollector>(
      served_.name, served_.info, memory, [] { return HostMemory(); },
      &listener_, engine_.get());
  if (!loaded_.why_cpu.empty()) {
    logger_.Log(Severity::kInfo, "there is no GPU, the device is the CPU",
                {{"why", loaded_.why_cpu}});
  }
  logger_.Log(Severity::kInfo, "model loaded",
              {{"model", served_.name},
               {"architecture", served_.info.architecture},
               {"device", served_.info.device},
               {"dtype", served_.info.dtype},
               {"parameters", served_.info.parameters},
               {"slots", int64_t{served_.info.slots}},
               {"seconds", absl::ToDoubleSeconds(clock_.Now() - begin)}});
  return absl::OkStatus();
}

absl::Status Daemon::Serve() {
  metrics_server_->Add(state_);
  engine_->Start();
  rpc_server_->SetModel(&served_);
  readiness_ = std::make_unique<ReadinessMonitor>(
      engine_.get(), flags_.stall,
      [this](bool ready) { rpc_server_->SetReady(ready); }, &logger_);
  if (flags_.port_file.empty()) return absl::OkStatus();
  return WritePortFile(
      flags_.port_file, BoundAddress(flags_.listen, rpc_server_->port()),
      BoundAddress(flags_.metrics_listen, metrics_server_->port()));
}

std::string Daemon::ReadyLine() const {
  return absl::StrCat(
      "tlind ", kVersion, " serves ", served_.name, " (",
      served_.info.architecture, ", ", served_.info.device, ", ",
      served_.info.dtype, ", ", served_.info.slots, " slots) on ",
      BoundAddress(flags_.listen, rpc_server_->port()), ", metrics on ",
      BoundAddress(flags_.metrics_listen, metrics_server_->port()));
}

bool Daemon::Drain() {
  const absl::Time begin = clock_.Now();
  const auto time_left = [&] { return flags_.drain - (clock_.Now() - begin); };
  logger_.Log(Severity::kInfo, "draining");
  listener_.SetDraining(true);
  readiness_.reset();  // it says ready no more
  rpc_server_->SetReady(false);
  engine_->BeginDrain();
  const bool all_ended = engine_->WaitUntilIdle(flags_.drain);
  if (!engine_->StopWithin(kLastStepGrace)) {
    logger_.Log(Severity::kError, "the engine hangs in a step: leaving",
                {{"stalled_seconds",
                  absl::ToDoubleSeconds(engine_->TimeSinceProgress())}});
    return false;
  }
  const bool all_stored = engine_->WaitUntilStored(kStoreGrace);
  const bool all_read =
      rpc_server_->WaitForCalls(std::max(time_left(), kShutdownGrace));
  rpc_server_->WaitForPause(kPauseBetweenCalls,
                            std::min(time_left(), kLongestFarewell));
  rpc_server_->Shutdown(kShutdownGrace);
  logger_.Log(Severity::kInfo, "drained",
              {{"all_ended", all_ended},
               {"all_read", all_read},
               {"all_stored", all_stored},
               {"seconds", absl::ToDoubleSeconds(clock_.Now() - begin)}});
  return true;
}

}  // namespace tlin
