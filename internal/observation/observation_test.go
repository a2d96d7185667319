package observation

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

var (
	shared = Ref{Kind: v1alpha1.CredentialKindClusterCredential, Name: "anthropic-shared"}
	noon   = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
)

// at is some seconds after noon, or before it.
func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func TestHealth(t *testing.T) {
	const current = "7"
	cases := map[string]struct {
		replicas   []Observation
		unwatched  bool
		now        time.Time
		wantReason string
		wantUntil  time.Time
	}{
		"nothing was seen":            {},
		"it was accepted":             {replicas: []Observation{{Revision: current, AcceptedTime: at(0)}}},
		"one rejection is not enough": {replicas: []Observation{{Revision: current, RejectedTimes: []time.Time{at(1)}}}},
		"two rejections": {
			replicas:   []Observation{{Revision: current, RejectedTimes: []time.Time{at(1), at(2)}}},
			wantReason: v1alpha1.ReasonKeyRejected,
		},
		"two rejections long ago": {
			replicas:   []Observation{{Revision: current, RejectedTimes: []time.Time{at(1), at(2)}}},
			now:        at(1e6),
			wantReason: v1alpha1.ReasonKeyRejected,
		},
		"two rejections of a key whose change nobody would notice": {
			replicas:   []Observation{{Revision: current, RejectedTimes: []time.Time{at(1), at(2)}}},
			unwatched:  true,
			wantReason: v1alpha1.ReasonKeyRejected, wantUntil: at(302),
		},
		"two rejections long ago of a key whose change nobody would notice": {
			replicas:  []Observation{{Revision: current, RejectedTimes: []time.Time{at(1), at(2)}}},
			unwatched: true, now: at(302),
		},
		"one rejection at each of two replicas": {
			replicas:   []Observation{{Revision: current, RejectedTimes: []time.Time{at(1)}}, {Revision: current, RejectedTimes: []time.Time{at(2)}}},
			wantReason: v1alpha1.ReasonKeyRejected,
		},
		"another replica was answered in between": {
			replicas: []Observation{{Revision: current, RejectedTimes: []time.Time{at(1), at(3)}}, {Revision: current, AcceptedTime: at(2)}},
		},
		"another replica was answered afterwards": {
			replicas: []Observation{{Revision: current, RejectedTimes: []time.Time{at(1), at(2)}}, {Revision: current, AcceptedTime: at(3)}},
		},
		"another replica was answered before": {
			replicas:   []Observation{{Revision: current, RejectedTimes: []time.Time{at(1), at(2)}}, {Revision: current, AcceptedTime: at(0)}},
			wantReason: v1alpha1.ReasonKeyRejected,
		},
		"rejections of an earlier key": {replicas: []Observation{{Revision: "6", RejectedTimes: []time.Time{at(1), at(2)}}}},
		"an earlier key is still accepted elsewhere": {
			replicas:   []Observation{{Revision: "6", AcceptedTime: at(9)}, {Revision: current, RejectedTimes: []time.Time{at(1), at(2)}}},
			wantReason: v1alpha1.ReasonKeyRejected,
		},
		"patience is asked for": {
			replicas:   []Observation{{Revision: current, RateLimitedTime: at(1), RateLimitedUntil: at(60)}},
			wantReason: v1alpha1.ReasonRateLimited, wantUntil: at(60),
		},
		"the time of patience is over": {replicas: []Observation{{Revision: current, RateLimitedTime: at(1), RateLimitedUntil: at(9)}}},
		"it works again before the time of patience is over": {
			replicas: []Observation{{Revision: current, RateLimitedTime: at(1), RateLimitedUntil: at(60)}, {Revision: current, AcceptedTime: at(2)}},
		},
		"the newest wish for patience counts, not the longest": {
			replicas: []Observation{
				{Revision: current, RateLimitedTime: at(1), RateLimitedUntil: at(900)}, {Revision: current, RateLimitedTime: at(2), RateLimitedUntil: at(20)},
			},
			wantReason: v1alpha1.ReasonRateLimited, wantUntil: at(20),
		},
		"patience for years is not believed": {
			replicas:   []Observation{{Revision: current, RateLimitedTime: at(0), RateLimitedUntil: at(1e9)}},
			wantReason: v1alpha1.ReasonRateLimited, wantUntil: at(3600),
		},
		"no credit": {
			replicas:   []Observation{{Revision: current, QuotaExhaustedTime: at(1)}},
			wantReason: v1alpha1.ReasonQuotaExhausted, wantUntil: at(3601),
		},
		"no credit an hour ago": {replicas: []Observation{{Revision: current, QuotaExhaustedTime: at(1)}}, now: at(3601)},
		"credit was added":      {replicas: []Observation{{Revision: current, QuotaExhaustedTime: at(1), AcceptedTime: at(2)}}},
		"a rejected key without credit": {
			replicas:   []Observation{{Revision: current, QuotaExhaustedTime: at(1), RejectedTimes: []time.Time{at(1), at(2)}}},
			wantReason: v1alpha1.ReasonKeyRejected,
		},
		"what is said to happen in the future": {replicas: []Observation{{
			Revision: current, RejectedTimes: []time.Time{at(1e6), at(1e6 + 1)}, RateLimitedTime: at(1e6), RateLimitedUntil: at(2e6), QuotaExhaustedTime: at(1e6),
		}}},
		"an acceptance in the future does not hide rejections": {
			replicas:   []Observation{{Revision: current, AcceptedTime: at(1e6), RejectedTimes: []time.Time{at(1), at(2)}}},
			wantReason: v1alpha1.ReasonKeyRejected,
		},
		"clocks differ a little": {
			replicas:   []Observation{{Revision: current, RejectedTimes: []time.Time{at(20), at(30)}}},
			wantReason: v1alpha1.ReasonKeyRejected,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			now := c.now
			if now.IsZero() {
				now = at(10)
			}
			for range 2 {
				got := HealthOf(Merge(c.replicas, current, now), !c.unwatched, now)
				if diff := cmp.Diff(c.wantReason, got.Reason); diff != "" {
					t.Errorf("reason (-want +got):\n%s", diff)
				}
				if (got.Message == "") != (got.Reason == "") {
					t.Errorf("message %q", got.Message)
				}
				if diff := cmp.Diff(c.wantUntil, got.Until); diff != "" {
					t.Errorf("until (-want +got):\n%s", diff)
				}
				slices.Reverse(c.replicas) // whose order makes no difference
			}
		})
	}
}

func TestUseCountsWhateverTheRevision(t *testing.T) {
	got := Merge([]Observation{
		{Ref: shared, Revision: "6", LastUsedTime: at(8), KeyEchoedTime: at(1)}, {Ref: shared, Revision: "7", LastUsedTime: at(5)},
	}, "7", at(10))
	want := Observation{Ref: shared, Revision: "7", LastUsedTime: at(8), KeyEchoedTime: at(1)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
}

func TestMergeLeavesWhatItReadsAsItIs(t *testing.T) {
	replicas := []Observation{{Revision: "7", RejectedTimes: []time.Time{at(1), at(1e6), at(2)}}, {Revision: "7", RejectedTimes: []time.Time{at(0)}}}
	before := []Observation{{Revision: "7", RejectedTimes: []time.Time{at(1), at(1e6), at(2)}}, {Revision: "7", RejectedTimes: []time.Time{at(0)}}}
	Merge(replicas, "7", at(10))
	if diff := cmp.Diff(before, replicas); diff != "" {
		t.Errorf("what was read (-before +after):\n%s", diff)
	}
}

func TestTheRevisionThatWasUsedLastIsTheNewest(t *testing.T) {
	cases := map[string]struct {
		of   []Observation
		want string
	}{
		"none":                   {},
		"one":                    {[]Observation{{Revision: "7"}}, "7"},
		"a replica lags behind":  {[]Observation{{Revision: "10", LastUsedTime: at(2)}, {Revision: "9", LastUsedTime: at(1)}}, "10"},
		"an older one came back": {[]Observation{{Revision: "10", LastUsedTime: at(1)}, {Revision: "9", LastUsedTime: at(2)}}, "9"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Newest(c.of)); diff != "" {
				t.Errorf("revision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfPicksOneCredential(t *testing.T) {
	own := Ref{Kind: v1alpha1.CredentialKindCredential, Namespace: "team-a", Name: "anthropic-shared"}
	all := []Observation{{Ref: shared, Revision: "1"}, {Ref: own, Revision: "2"}, {Ref: shared, Revision: "3"}}
	if diff := cmp.Diff([]Observation{{Ref: shared, Revision: "1"}, {Ref: shared, Revision: "3"}}, Of(shared, all)); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
}

func TestTheLastLookOfAnyReplicaCounts(t *testing.T) {
	looked := func(second int, generation int64, fault Fault) Observation {
		return Observation{Ref: shared, Look: Look{Time: at(second), Generation: generation, Fault: fault}}
	}
	cases := map[string]struct {
		of   []Observation
		want Fault
		some bool
	}{
		"none":                    {nil, "", false},
		"nobody has looked":       {[]Observation{{Ref: shared, LastUsedTime: at(1)}}, "", false},
		"by another generation":   {[]Observation{looked(1, 1, FaultSecretMissing)}, "", false},
		"one":                     {[]Observation{looked(1, 2, FaultSecretMissing)}, FaultSecretMissing, true},
		"the last, which is good": {[]Observation{looked(1, 2, FaultSecretMissing), looked(3, 2, ""), looked(2, 2, FaultEntryMissing)}, "", true},
		"the last, which is bad":  {[]Observation{looked(4, 2, FaultKeyMalformed), looked(3, 2, "")}, FaultKeyMalformed, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, some := LastLook(c.of, 2); got.Fault != c.want || some != c.some {
				t.Errorf("got %+v %v, want %q %v", got, some, c.want, c.some)
			}
		})
	}
}
