package ledger

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// counts are requests and tokens.
type counts struct{ requests, input, output int64 }

func (c counts) plus(o counts) counts {
	return counts{c.requests + o.requests, c.input + o.input, c.output + o.output}
}

func (c counts) minus(o counts) counts { return c.plus(counts{-o.requests, -o.input, -o.output}) }

func (c counts) atLeast(o counts) bool {
	return c.requests >= o.requests && c.input >= o.input && c.output >= o.output
}

// countsOf is what a status says.
func countsOf(s v1alpha1.SessionStatus) counts {
	if s.Usage == nil {
		return counts{}
	}
	return counts{value(s.Usage.Requests), value(s.Usage.InputTokens), value(s.Usage.OutputTokens)}
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// sum is what one write adds.
type sum struct {
	counts
	key   client.ObjectKey
	inUse map[string]v1alpha1.CredentialInUse
	// counted is true once there was a request; of a Session without one, the usage may not be the gateway's to tell. active is when the last one was.
	counted bool
	active  time.Time
}

// plus adds an earlier sum; of credentials in use, and of the last activity, the later counts.
func (s sum) plus(earlier sum) sum {
	s.counts = s.counts.plus(earlier.counts)
	inUse := maps.Clone(earlier.inUse)
	if inUse == nil {
		inUse = map[string]v1alpha1.CredentialInUse{}
	}
	maps.Copy(inUse, s.inUse)
	s.inUse = inUse
	s.counted = s.counted || earlier.counted
	if s.active.Before(earlier.active) {
		s.active = earlier.active
	}
	return s
}

// attempt is a write that the API server did not answer: it may have taken effect, or yet do so.
type attempt struct {
	sum
	// version and before are those of the status that it was made for.
	version string
	before  counts
}

// attempts were made for one version of a status. Each includes what those before it would have added, and at most one of them takes effect, since
// each is good for that version only.
type attempts []attempt

// missing is what the attempts have not added to a status, as it is now, and which of them may yet take effect.
//
// While the version is the one that they were made for, none has, and each still may. Another version rules out those that have not: the counts then
// tell which one it was, as they only grow, and only by what gateways add. They tell it wrongly where another replica has come first, and has
// added at least as much, to requests and tokens alike; what the attempt was to add is then lost, rather than counted twice.
func (a attempts) missing(version string, now counts) (sum, attempts) {
	if len(a) == 0 {
		return sum{}, nil
	}
	last := a[len(a)-1]
	if version == last.version {
		return last.sum, a
	}
	for _, t := range slices.Backward(a) {
		if now.atLeast(t.before.plus(t.counts)) {
			rest := last.sum
			rest.counts = last.minus(t.counts)
			return rest, nil
		}
	}
	return last.sum, nil
}

// refused is true for an answer that says that nothing was written.
func refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError
}
