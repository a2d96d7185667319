package contract

// What a sandbox and the gateway say to each other. The gateway is reached by https only; the caller proves who it is with the token of
// its pod, in "Authorization: Bearer <token>", on every request.
const (
	// GatewayDir holds GatewayTokenFile, a projected ServiceAccount token of audience v1alpha1.TokenAudience, bound to the pod. The
	// kubelet writes it anew before it expires.
	GatewayDir       = "/sandkeep/gateway"
	GatewayTokenFile = "token"

	// ProxyAddress is where sandboxd serves the agent, by http. The first part of a path names the provider.
	ProxyAddress = "127.0.0.1:4141"
	// Placeholder is what an agent is told in a key's place. It opens nothing.
	Placeholder = "sandkeep-placeholder"

	// GatewayProviders begins the paths of requests to providers: the provider's name follows, and then the path at the provider.
	GatewayProviders = "/v1alpha1/providers/"
	// GatewayHeartbeat takes a POST every HeartbeatSeconds while a sandbox lives. It is answered with 204.
	GatewayHeartbeat = "/v1alpha1/session/heartbeat"
	// GatewayReport takes the Report of a run by POST, once it has ended. It is answered with 204 after what the gateway counted of the run is in
	// the status of the Session. What comes after that is there within the time that usage is written in, however often a run reports its end.
	GatewayReport = "/v1alpha1/session/report"
	// GatewayKey takes a KeyRequest by POST, for a credential of the keep that is delivered as Env or File. It is answered with 200 and a Key where there is
	// one that the sandbox can use and does not have, with 204 where there is none, and with 403 and HeaderFailureClass where the Session must not
	// have it now.
	GatewayKey = "/v1alpha1/session/key"
	// HeartbeatSeconds is the time between two heartbeats.
	HeartbeatSeconds = 30

	// HeaderFailureClass is on answers by which a request failed, whoever made them: the FailureClass, as the gateway knows it.
	HeaderFailureClass = "Sandkeep-Failure-Class"
	// HeaderFailureMessage says in one line of ASCII what happened and what to do next.
	HeaderFailureMessage = "Sandkeep-Failure-Message"
	// HeaderRetryAfter is the number of seconds until trying again helps, where agents are told of less by Retry-After.
	HeaderRetryAfter = "Sandkeep-Retry-After"
)

// Gateway is where the gateway is and how it is known to be the one.
type Gateway struct {
	// URL is https, without a path or a final slash.
	URL string `json:"url"`
	// CABundle are the certificates, in PEM, that sign the gateway's own.
	CABundle string `json:"caBundle"`
}
