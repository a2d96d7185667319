package witness

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

var shared = observation.Ref{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"}

func answered(v Verdict) Answer { return Answer{Ref: shared, Revision: "7", Verdict: v} }

func TestWhatAProviderSaysOfAKeyIsRemembered(t *testing.T) {
	start := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	cases := map[string]struct {
		answers []Answer
		want    observation.Observation
	}{
		"accepted": {[]Answer{answered(Accepted)}, observation.Observation{AcceptedTime: at(0), LastUsedTime: at(0)}},
		"what says nothing of the key accepts none": {[]Answer{answered("")}, observation.Observation{LastUsedTime: at(0)}},
		"what says nothing of the key clears no rejection": {[]Answer{answered(Rejected), answered("")},
			observation.Observation{RejectedTimes: []time.Time{at(0)}, LastUsedTime: at(1)}},
		"rejected three times": {[]Answer{answered(Rejected), answered(Rejected), answered(Rejected)},
			observation.Observation{RejectedTimes: []time.Time{at(1), at(2)}, LastUsedTime: at(2)}},
		"rejected, then accepted": {[]Answer{answered(Rejected), answered(Accepted)},
			observation.Observation{AcceptedTime: at(1), LastUsedTime: at(1)}},
		"asked for patience": {[]Answer{{Ref: shared, Revision: "7", Verdict: RateLimited, RetryAfter: time.Minute}},
			observation.Observation{RateLimitedTime: at(0), RateLimitedUntil: at(60), LastUsedTime: at(0)}},
		"without credit":        {[]Answer{answered(NoCredit)}, observation.Observation{QuotaExhaustedTime: at(0), LastUsedTime: at(0)}},
		"another key is better": {[]Answer{answered(Rejected), {Ref: shared, Revision: "8", Verdict: Accepted}}, observation.Observation{Revision: "8", AcceptedTime: at(1), LastUsedTime: at(1)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got observation.Observation
			for i, a := range c.answers {
				got = with(got, a, at(i))
			}
			c.want.Ref = shared
			if c.want.Revision == "" {
				c.want.Revision = "7"
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("observation (-want +got):\n%s", diff)
			}
		})
	}
}

// stage counts the writes of a witness, of which the first so many fail.
func stage(t *testing.T, failing int, play func(w *Witness, c client.Client, writes *int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		writes := 0
		c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
			Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
				if writes++; writes <= failing {
					return errors.New("the API server is away")
				}
				return c.Apply(ctx, o, opts...)
			},
		}).Build()
		w := New(c, clock.RealClock{}, "gateway-1", "uid-1")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.Run(ctx, func(error) {})
		play(w, c, &writes)
	})
}

func told(t *testing.T, c client.Client) []observation.Observation {
	t.Helper()
	m := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: observation.ConfigMapPrefix + "gateway-1"}, m); err != nil {
		t.Fatal(err)
	}
	if len(m.OwnerReferences) != 1 || m.OwnerReferences[0].UID != "uid-1" {
		t.Errorf("owners are %v, want the pod", m.OwnerReferences)
	}
	all, err := observation.Decode(m.Data[observation.ConfigMapKey])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTroubleIsToldPromptlyAndUseLazily(t *testing.T) {
	stage(t, 0, func(w *Witness, c client.Client, writes *int) {
		w.Saw(answered(Accepted))
		time.Sleep(2 * promptly)
		if *writes != 1 || len(told(t, c)) != 1 {
			t.Errorf("%d writes after the first use of a key, want one", *writes)
		}
		for range 20 {
			w.Saw(answered(Accepted))
			time.Sleep(time.Second)
		}
		if *writes != 1 {
			t.Errorf("%d writes within 20 s of use, want no further one", *writes-1)
		}
		time.Sleep(lazily)
		if *writes != 2 {
			t.Errorf("%d writes after half a minute more, want one", *writes-1)
		}
		w.Saw(answered(Rejected))
		time.Sleep(2 * promptly)
		if *writes != 3 || len(told(t, c)[0].RejectedTimes) != 1 {
			t.Errorf("a rejection is not told: %d writes, %v", *writes, told(t, c))
		}
	})
}

func TestI6WhatCouldNotBeToldIsToldLater(t *testing.T) {
	stage(t, 1, func(w *Witness, c client.Client, writes *int) {
		w.Saw(answered(Rejected))
		time.Sleep(2 * lazily)
		if *writes != 2 || len(told(t, c)) != 1 {
			t.Errorf("%d writes, want another one after the one that failed", *writes)
		}
	})
}

func TestWhatIsFoundOfAKeyIsToldOnceAndPromptly(t *testing.T) {
	stage(t, 0, func(w *Witness, c client.Client, writes *int) {
		for i, look := range []observation.Look{
			{Generation: 1}, {Generation: 1, Fault: observation.FaultSecretMissing}, {Generation: 2, Fault: observation.FaultSecretMissing}, {Generation: 2},
		} {
			for range 3 {
				w.Looked(shared, look.Generation, look.Fault)
				time.Sleep(2 * promptly)
			}
			got := told(t, c)[0].Look
			got.Time = time.Time{}
			if *writes != i+1 || got != look {
				t.Errorf("%d writes, told %+v, want %d and %+v", *writes, got, i+1, look)
			}
		}
		w.Saw(answered(Accepted))
		time.Sleep(2 * promptly)
		if got := told(t, c)[0]; got.Look.Generation != 2 || got.Revision != "7" {
			t.Errorf("after an answer by a new key the last look is forgotten: %+v", got)
		}
	})
}
