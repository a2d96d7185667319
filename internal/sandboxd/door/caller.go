package door

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

const (
	// maxReplay is the largest body that is kept so that it can be sent twice.
	maxReplay = 1 << 20
	// maxPatience is how long a request waits altogether for a gateway that is not ready for this pod: its watches tell it of a new pod
	// within moments.
	maxPatience = 20 * time.Second
	minPause    = 250 * time.Millisecond
	maxPause    = 5 * time.Second
	// maxRest is how much of an answer that nobody wants is read so that its connection can be used again.
	maxRest = 64 << 10
)

// caller sends requests to the gateway in the name of the pod. It sends one again, if its body is at hand, in two cases, which are known by
// the missing failure class: the gateway itself refused it, and no provider has seen it.
//   - 401 when the file holds another token by now: once, with that token.
//   - 503 with Retry-After: the gateway does not know the pod yet.
type caller struct {
	next  http.RoundTripper
	token *token
	now   func() time.Time
}

// RoundTrip is part of http.RoundTripper.
func (c *caller) RoundTrip(r *http.Request) (*http.Response, error) {
	used, err := c.token.get()
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	renewed, waited := false, time.Duration(0)
	for {
		answer, err := c.try(r, used)
		if err != nil || !canReplay(r) || answer.Header.Get(contract.HeaderFailureClass) != "" {
			return answer, err
		}
		pause, notYet := time.Duration(0), answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") != ""
		switch {
		case answer.StatusCode == http.StatusUnauthorized && !renewed:
			fresh, err := c.token.fresh()
			if err != nil || fresh == used {
				return answer, nil //nolint:nilerr // the gateway's answer says more than that the file is gone
			}
			used, renewed = fresh, true
		case notYet && waited < maxPatience:
			pause = min(max(retryAfter(answer.Header, c.now()), minPause), maxPause)
			waited += pause
		default:
			return answer, nil
		}
		discard(answer)
		if err := sleep(r.Context(), pause); err != nil {
			return nil, err
		}
	}
}

// try sends a copy: the request itself stays as it is, for another try.
func (c *caller) try(r *http.Request, bearer string) (*http.Response, error) {
	sent := r.Clone(r.Context())
	sent.Header.Set("Authorization", "Bearer "+bearer)
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		sent.Body = body
	}
	return c.next.RoundTrip(sent)
}

func canReplay(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}

// replayable reads a small body so that it can be sent twice, by caller or, when a connection ends at the wrong moment, by the transport.
// A body of unknown length is left alone: it may be one that waits for the answer.
func replayable(r *http.Request) (*http.Request, error) {
	if r.ContentLength <= 0 || r.ContentLength > maxReplay {
		return r, nil
	}
	data := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, data); err != nil {
		return nil, err
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	r.Body, _ = r.GetBody()
	return r, nil
}

func discard(answer *http.Response) {
	_, _ = io.CopyN(io.Discard, answer.Body, maxRest)
	_ = answer.Body.Close()
}

// sleep waits, but no longer than ctx lives.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
