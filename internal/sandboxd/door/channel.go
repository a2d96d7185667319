package door

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

const (
	heartbeat = contract.HeartbeatSeconds * time.Second
	// reportTime bounds Report; a run's last word is in the termination message as well.
	reportTime = 10 * time.Second
	// tryTime bounds one try of it, in which the gateway writes to the API server.
	tryTime = 4 * time.Second
)

// reportPauses are made before each try.
var reportPauses = []time.Duration{0, 500 * time.Millisecond, time.Second}

// errStatus is returned for answers other than 2xx.
var errStatus = errors.New("unexpected status")

// beat sends heartbeats until ctx ends, the first at once: so the connection is there when the agent needs it, and the user learns early
// of a gateway that cannot be reached.
func (d *Door) beat(ctx context.Context) {
	Pace(ctx, func(ctx context.Context) {
		if err := d.post(ctx, contract.GatewayHeartbeat, nil, heartbeat-maxPause); err != nil && ctx.Err() == nil {
			d.hint(err)
		}
	})
}

// Pace calls f at once and then with every heartbeat, until ctx ends.
func Pace(ctx context.Context, f func(context.Context)) {
	for pause := time.Duration(0); sleep(ctx, pause) == nil; pause = nextBeat() {
		f(ctx)
	}
}

// nextBeat is up to a tenth early, so that sandboxes that were started together do not beat together.
func nextBeat() time.Duration { return heartbeat - rand.N(heartbeat/10) }

// Report tells the gateway how the run ended. It takes 10 s at most, and less if ctx ends.
func (d *Door) Report(ctx context.Context, report []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	var last error
	for _, pause := range reportPauses {
		if err := sleep(ctx, pause); err != nil {
			return errors.Join(last, err)
		}
		if last = d.post(ctx, contract.GatewayReport, report, tryTime); last == nil {
			return nil
		}
	}
	return last
}

// Key asks for the key of a provider, and acknowledges the one that the request says that there is. It is nil where there is no other one.
func (d *Door) Key(ctx context.Context, asked contract.KeyRequest) (key *contract.Key, fault *failure.Failure) {
	body, err := asked.Encode()
	if err == nil {
		err = d.exchange(ctx, contract.GatewayKey, body, heartbeat-maxPause, func(answer *http.Response) error {
			key, fault = d.keyIn(answer)
			return nil
		})
	}
	if err != nil {
		return nil, failure.New(contract.ProviderUnavailable, "The gateway cannot be reached: %s", contract.OneLine(err.Error(), maxMessage))
	}
	return key, fault
}

// maxKey bounds the answer to a request for a key, or the refusal of one.
const maxKey = 64 << 10

// keyIn reads an answer, of which no part gets into a message but what the gateway says in refusals.
func (d *Door) keyIn(answer *http.Response) (*contract.Key, *failure.Failure) {
	if fault := failureOf(answer, d.now()); fault != nil {
		return nil, fault
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxKey))
	switch answer.StatusCode {
	case http.StatusNoContent:
		return nil, nil
	case http.StatusOK:
		key, noKey := contract.DecodeKey(body)
		if err != nil || noKey != nil {
			return nil, failure.New(contract.ProviderUnavailable, "The gateway's answer holds no key")
		}
		return &key, nil
	}
	var refused struct{ Error struct{ Message string } }
	_ = json.Unmarshal(body, &refused) // the status is enough
	return nil, failure.New(contract.ProviderUnavailable, "The gateway answers with status %d: %s", answer.StatusCode, contract.OneLine(refused.Error.Message, maxMessage))
}

// post says something in sandboxd's own name.
func (d *Door) post(ctx context.Context, path string, body []byte, limit time.Duration) error {
	return d.exchange(ctx, path, body, limit, func(answer *http.Response) error {
		if answer.StatusCode/100 != 2 {
			return fmt.Errorf("post to %s: %w %d", path, errStatus, answer.StatusCode)
		}
		return nil
	})
}

// exchange posts in sandboxd's own name, and has the answer read.
func (d *Door) exchange(ctx context.Context, path string, body []byte, limit time.Duration, read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to %s: %w", path, err)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", "sandboxd")
	answer, err := d.calls.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("post to %s: %w", path, err)
	}
	defer discard(answer)
	return read(answer)
}
