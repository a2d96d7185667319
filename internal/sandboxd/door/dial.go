package door

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// Times of the way to the gateway. There is none for a whole request: a model may stream for hours. What they are for is that a gateway
// that has vanished without a word is noticed.
const (
	dialTime      = 10 * time.Second
	handshakeTime = 10 * time.Second
	// headerTime is longer than any client waits for an answer that is not streamed.
	headerTime = 30 * time.Minute
	idleTime   = 90 * time.Second
	// pingAfter is how long an HTTP/2 connection may say nothing before it is asked whether it still works, pongTime what the answer may take.
	pingAfter = 20 * time.Second
	pongTime  = 15 * time.Second

	maxIdle = 32
)

// dialling is the gateway's address and the way there. The gateway is whoever the bundle vouches for by the name in the address.
func dialling(g contract.Gateway) (*url.URL, *http.Transport, error) {
	base, err := url.Parse(g.URL)
	switch {
	case err != nil:
		return nil, nil, errorf("its address cannot be understood: %w", err)
	case base.Scheme != "https" || base.Host == "" || base.Path != "" || base.RawQuery != "" || base.User != nil:
		return nil, nil, errorf("its address %q is not https://<host>", base.Redacted())
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(g.CABundle)) {
		return nil, nil, errorf("its CA bundle holds no certificate")
	}
	dialer := &net.Dialer{Timeout: dialTime, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: pingAfter, Interval: 5 * time.Second, Count: 3}}
	return base, &http.Transport{
		Proxy:                 nil, // a proxy of the image would see the token
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
		TLSHandshakeTimeout:   handshakeTime,
		DisableCompression:    true, // bodies are passed on as they are
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pongTime},
		MaxIdleConns:          maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		IdleConnTimeout:       idleTime,
		ResponseHeaderTimeout: headerTime,
		ExpectContinueTimeout: time.Second,
	}, nil
}
