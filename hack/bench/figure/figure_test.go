package figure

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var roughly = cmpopts.EquateApprox(0, 1e-6)

func TestQuantiles(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100-i) * time.Millisecond
	}
	tests := map[string]struct {
		times []time.Duration
		want  Quantiles
	}{
		"nothing was measured":                 {nil, Quantiles{}},
		"one is all of them":                   {[]time.Duration{7 * time.Millisecond}, Quantiles{7, 7}},
		"of two the first is the middle":       {[]time.Duration{9 * time.Millisecond, 1 * time.Millisecond}, Quantiles{1, 9}},
		"of a hundred the last is not the p99": {hundred, Quantiles{50, 99}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, QuantilesOf(test.times), roughly); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
