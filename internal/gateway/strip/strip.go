// Package strip decides which headers and parameters of a request go on to a provider, and which of an answer come back. A request loses
// whatever could present a credential or say who pays, since the gateway presents the only one, and whatever speaks of the way that it took.
package strip

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// names and beginnings of headers, in lower case and with "-" for "_".
type set struct{ names, prefixes []string }

// hopByHop are meant for the next hop only (RFC 9110, section 7.6.1, and older practice). Whoever wants an upgrade to pass puts it back.
var hopByHop = []string{"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"}

// request is what never goes on.
var request = set{
	names: slices.Concat(hopByHop, []string{
		// Credentials, as providers and their kin take them.
		"authorization", "x-authorization", "api-key", "apikey", "x-api-key", "x-apikey", "x-goog-api-key", "x-goog-iam-authorization-token",
		"x-auth-token", "x-access-token", "x-amz-security-token", "private-token", "cookie", "cookie2",
		// Who pays (https://platform.openai.com/docs/api-reference/authentication, https://cloud.google.com/apis/docs/system-parameters).
		"openai-organization", "openai-project", "x-goog-user-project",
		// The way that a request took.
		"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
		// Another method or path than those that were looked up.
		"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
		// Parts of an answer: a key that comes in two answers is in neither.
		"range", "if-range",
		"host", "accept-encoding",
		// Compression, of which nothing else is an extension of WebSocket today.
		"sec-websocket-extensions",
	}),
	prefixes: []string{"proxy-", "x-forwarded-", "sandkeep-"},
}

// response is what never comes back: the state of the provider's own site, what it says of its host and not of ours, and what only we say.
var response = set{
	names: slices.Concat(hopByHop, []string{"set-cookie", "set-cookie2", "alt-svc", "strict-transport-security", "public-key-pins",
		"clear-site-data", "nel", "report-to", "reporting-endpoints"}),
	prefixes: []string{"proxy-", "sandkeep-"},
}

// parameters of a query that present a credential, say who pays, or name another method, with "_" for "-", in lower case and without "$" in front.
var parameters = []string{"key", "api_key", "apikey", "x_api_key", "x_goog_api_key", "access_token", "oauth_token", "bearer_token", "auth_token",
	"authorization", "token", "userproject", "_method", "x_http_method_override"}

// presenting are parts of the names of subprotocols of WebSocket that present a credential or say who pays: browsers can set no other header, and so OpenAI takes
// openai-insecure-api-key.<key> there, beside openai-organization.<name> and openai-project.<name>, and Kubernetes base64url.bearer.authorization.k8s.io.<token>.
var presenting = []string{"api-key", "apikey", "token", "bearer", "authorization", "organization", "project"}

// Request takes out of a request's header and query what must not go on; credentialHeaders are those by which the provider takes credentials,
// whatever they are called. The credential must be put on afterwards: a header that the request's Connection names is taken out as well. Names are
// recognised in any case, with "_" in place of "-", since some servers take them for the same, and with blanks around them. All other headers
// stay as they are, and the answer is asked for without compression, so that it can be looked at.
func Request(h http.Header, q url.Values, credentialHeaders []string) {
	drop(h, request, credentialHeaders)
	subprotocols(h)
	h["Accept-Encoding"] = []string{"identity"}
	for name := range q {
		p := strings.TrimLeft(strings.ReplaceAll(normal(name), "-", "_"), "$")
		credential := slices.ContainsFunc(credentialHeaders, func(c string) bool { return strings.ReplaceAll(normal(c), "-", "_") == p })
		if credential || slices.Contains(parameters, p) {
			delete(q, name)
		}
	}
}

// subprotocols takes out the subprotocols that present a credential or say who pays.
func subprotocols(h http.Header) {
	for name, values := range h {
		if normal(name) != "sec-websocket-protocol" {
			continue
		}
		var kept []string
		for entry := range strings.SplitSeq(strings.Join(values, ","), ",") {
			n := normal(entry)
			if n != "" && !slices.ContainsFunc(presenting, func(part string) bool { return strings.Contains(n, part) }) {
				kept = append(kept, strings.TrimSpace(entry))
			}
		}
		if delete(h, name); len(kept) > 0 {
			h[name] = []string{strings.Join(kept, ", ")}
		}
	}
}

// Response takes out of an answer's header, or trailer, what must not come back. WWW-Authenticate stays: it says why a key was refused.
func Response(h http.Header) { drop(h, response, nil) }

// Encoded reports that an answer is compressed, although Request asked that it be not: nobody can then say what is in it.
func Encoded(h http.Header) bool {
	for name, values := range h {
		if n := normal(name); n != "content-encoding" && n != "sec-websocket-extensions" {
			continue
		}
		for _, coding := range list(values) {
			if coding != "identity" {
				return true
			}
		}
	}
	return false
}

// drop takes out the headers of a set, and those named in others.
func drop(h http.Header, s set, others []string) {
	named := list(others)
	for name, values := range h {
		if normal(name) == "connection" {
			named = append(named, list(values)...)
		}
	}
	for name := range h {
		n := normal(name)
		begins := func(prefix string) bool { return strings.HasPrefix(n, prefix) }
		if slices.Contains(s.names, n) || slices.Contains(named, n) || slices.ContainsFunc(s.prefixes, begins) {
			delete(h, name)
		}
	}
}

// list are the entries of comma lists, as names.
func list(values []string) []string {
	var entries []string
	for _, value := range values {
		for entry := range strings.SplitSeq(value, ",") {
			if n := normal(entry); n != "" {
				entries = append(entries, n)
			}
		}
	}
	return entries
}

// normal is how names are compared.
func normal(name string) string {
	name = strings.TrimFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}
