#include "server/metrics_server.h"

#include <httplib.h>
#include <openssl/ssl.h>

#include <iterator>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "prometheus/text_serializer.h"

namespace tlin {
namespace {

// Scrapes are few; more connections than these wait.
constexpr size_t kThreads = 4;
constexpr time_t kIdleSeconds = 2;  // of a connection that is kept
constexpr char kContentType[] = "text/plain; version=0.0.4; charset=utf-8";

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

// Runs in each handshake; one of a certificate with another's key fails.
int UseFilesOfNow(SSL* connection, void* argument) {
  const auto* files = static_cast<const CertificateFiles*>(argument);
  SSL_use_certificate_chain_file(connection, files->certificate.c_str());
  SSL_use_PrivateKey_file(connection, files->key.c_str(), SSL_FILETYPE_PEM);
  return 1;
}

class TlsServer final : public httplib::SSLServer {
 public:
  explicit TlsServer(std::unique_ptr<CertificateFiles> files)
      : SSLServer([&files](SSL_CTX& context) {
          SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
          SSL_CTX_set_cert_cb(&context, UseFilesOfNow, files.get());
          return SSL_CTX_use_certificate_chain_file(
                     &context, files->certificate.c_str()) == 1 &&
                 SSL_CTX_use_PrivateKey_file(&context, files->key.c_str(),
                                             SSL_FILETYPE_PEM) == 1;
        }),
        files_(std::move(files)) {}

 private:
  const std::unique_ptr<CertificateFiles> files_;
};

bool MayRead(const httplib::Request& request, SecretFile* passwords) {
  if (passwords == nullptr) return true;
  const std::string header = request.get_header_value("Authorization");
  absl::string_view encoded = header;
  constexpr absl::string_view kScheme = "basic ";
  if (!absl::StartsWithIgnoreCase(encoded, kScheme)) return false;
  encoded.remove_prefix(kScheme.size());
  std::string pair;
  if (!absl::Base64Unescape(encoded, &pair)) return false;
  const size_t colon = pair.find(':');
  if (colon == std::string::npos) return false;
  return passwords->Has(absl::string_view(pair).substr(0, colon),
                        absl::string_view(pair).substr(colon + 1));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const MetricsServerOptions& options) {
  std::unique_ptr<httplib::Server> http;
  if (options.certificate.empty()) {
    http = std::make_unique<httplib::Server>();
  } else {
    http = std::make_unique<TlsServer>(std::make_unique<CertificateFiles>(
        CertificateFiles{options.certificate, options.key}));
  }
  auto server = absl::WrapUnique(new MetricsServer(options, std::move(http)));
  TLIN_RETURN_IF_ERROR(server->Bind());
  return server;
}

MetricsServer::MetricsServer(const MetricsServerOptions& options,
                             std::unique_ptr<httplib::Server> server)
    : listen_(options.listen), server_(std::move(server)) {
  server_->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server_->set_keep_alive_timeout(kIdleSeconds);
  server_->set_payload_max_length(0);
  // Not SO_REUSEPORT, the default: a taken port is an error.
  server_->set_socket_options([](int socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  server_->Get("/metrics", [this, passwords = options.passwords](
                               const httplib::Request& request,
                               httplib::Response& response) {
    if (MayRead(request, passwords)) {
      response.set_content(Collect(), kContentType);
      return;
    }
    response.status = 401;
    response.set_header("WWW-Authenticate", "Basic realm=\"tlind\"");
  });
}

absl::Status MetricsServer::Bind() {
  const size_t colon = listen_.rfind(':');
  std::string host = listen_.substr(0, colon);
  int port = 0;
  const bool number = absl::SimpleAtoi(listen_.substr(colon + 1), &port);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (number && server_->is_valid()) {
    port_ = port == 0 ? server_->bind_to_any_port(host)
            : server_->bind_to_port(host, port) ? port
                                                : -1;
  }
  if (!number || !server_->is_valid() || port_ <= 0) {
    return absl::UnavailableError(absl::StrCat(
        "--metrics_listen=", listen_,
        ": cannot be bound: taken, or not an address of this machine"));
  }
  thread_ = std::thread([this] { server_->listen_after_bind(); });
  // From here on stop() is heard.
  while (!server_->is_running()) std::this_thread::yield();
  return absl::OkStatus();
}

MetricsServer::~MetricsServer() {
  if (!thread_.joinable()) return;
  server_->stop();
  thread_.join();
}

void MetricsServer::Add(
    const std::weak_ptr<prometheus::Collectable>& collectable) {
  absl::MutexLock lock(&mutex_);
  collectables_.push_back(collectable);
}

std::string MetricsServer::Collect() const {
  std::vector<std::weak_ptr<prometheus::Collectable>> collectables;
  {
    absl::MutexLock lock(&mutex_);
    collectables = collectables_;
  }
  std::vector<prometheus::MetricFamily> families;
  for (const auto& weak : collectables) {
    const auto collectable = weak.lock();
    if (collectable == nullptr) continue;
    std::vector<prometheus::MetricFamily> more = collectable->Collect();
    families.insert(families.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tlin
