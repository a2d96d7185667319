package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// errUnknown is said of a request from an address that no sandbox is known to have, when too many of these come.
var errUnknown = errors.New("no sandbox is known at the address of the request")

// Screen keeps from the API server what is no request of a sandbox. Any pod of the cluster can connect to the gateway, and make up as many tokens as it
// likes, each of which would have to be reviewed. It proves nothing: what passes is reviewed.
type Screen struct {
	// Tokens reviews.
	Tokens authenticator.Request
	// Known are the addresses of sandboxes; nil for networks that hide from which pod a connection comes.
	Known *Addresses
	// Unknown lets some requests from other addresses pass: a watch may be behind the pods.
	Unknown func() bool
}

// AuthenticateRequest implements authenticator.Request.
func (s *Screen) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if !claimsAudience(bearer(r)) {
		return nil, false, nil
	}
	if s.Known != nil && !s.Known.has(r.RemoteAddr) && !s.Unknown() {
		return nil, false, errUnknown
	}
	return s.Tokens.AuthenticateRequest(r)
}

// bearer is the token of a request, as authenticators find it; empty where there is none.
func bearer(r *http.Request) string {
	parts := strings.SplitN(strings.TrimSpace(r.Header.Get("Authorization")), " ", 3)
	if len(parts) < 2 || !strings.EqualFold(parts[0], "bearer") {
		return ""
	}
	return parts[1]
}

// claimsAudience is true for what has the form of a token (RFC 7519) and names the gateway somewhere in its claims, as one for the gateway does in "aud".
func claimsAudience(token string) bool {
	_, rest, _ := strings.Cut(token, ".")
	claims, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(claims)
	return err == nil && bytes.Contains(text, quotedAudience)
}

var quotedAudience = []byte(strconv.Quote(v1alpha1.TokenAudience))

// Slots lets as many requests to the API server be under way at a time as it has room; more wait.
type Slots struct {
	http.RoundTripper
	slots chan struct{}
}

// AtMost bounds the requests that are under way by a transport.
func AtMost(n int, transport http.RoundTripper) Slots {
	return Slots{RoundTripper: transport, slots: make(chan struct{}, n)}
}

// RoundTrip implements http.RoundTripper.
func (s Slots) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
		return s.RoundTripper.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}
