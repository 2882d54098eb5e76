// tlin health: for scripts and probes.
#include <string>

#include "client/command_support.h"
#include "client/event_json.h"
#include "client/exit_code.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

constexpr char kHealthAbout[] =
    "Asks grpc.health.v1. Exit code 0 where the server serves, 3 where it does "
    "not (yet, or\nany more) or cannot be reached.\n";

const char* HealthName(Health health) {
  switch (health) {
    case Health::kServing:
      return "SERVING";
    case Health::kNotServing:
      return "NOT_SERVING";
    case Health::kUnknown:
      break;
  }
  return "UNKNOWN";
}

}  // namespace

int RunHealth(const Args& args, Io& io) {
  ServerFlags server;
  server.deadline = absl::Seconds(5);
  std::string service;
  FlagSet flags("tlin health [flags]", kHealthAbout);
  server.AddTo(&flags);
  flags.Add("service", &service,
            "Such as tlin.v1.Generation; empty: the server as a whole.");
  if (const auto exit = ParseOnlyFlags(args, &flags, io)) return *exit;

  Client client(server.connection());
  const auto health = client.CheckHealth(service, server.call_options());
  if (!health.ok()) return Fail(health.status(), server.json, io);
  const std::string name = HealthName(*health);
  io.out << (server.json ? OneLine({{"status", name}}) : name) << "\n";
  const int written = Done(io);
  if (written != kExitOk) return written;
  return *health == Health::kServing ? kExitOk : kExitUnavailable;
}

}  // namespace tlin::client
