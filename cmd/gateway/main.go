// Command gateway is the only door of sandboxes: it finds out who is asking, puts the key on requests to providers, and counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/access"
	"github.com/sandkeep/sandkeep/internal/gateway"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/ledger"
	"github.com/sandkeep/sandkeep/internal/gateway/limit"
	"github.com/sandkeep/sandkeep/internal/gateway/pulse"
	"github.com/sandkeep/sandkeep/internal/gateway/witness"
	"github.com/sandkeep/sandkeep/internal/operator"
)

// version is set by the linker.
var version = "unknown"

// gcPercent has garbage collected more than twice as often as Go would by itself (https://go.dev/doc/gc-guide#GOGC): a replica runs out of memory, of which
// each stream takes some, long before it runs out of processor.
const gcPercent = 40

// options are the flags of the gateway.
type options struct {
	operator.Flags
	address        string
	anyAddress     bool
	forbiddenCIDRs string
}

func main() {
	o := options{}
	flag.StringVar(&o.address, "bind-address", ":8443", "address at which sandboxes are served, by https")
	o.Bind(flag.CommandLine, ":9443")
	flag.BoolVar(&o.anyAddress, "allow-any-pod-address", false, "do not compare the address of a request with that of its pod, for networks that hide it")
	flag.StringVar(&o.forbiddenCIDRs, "forbidden-cidrs", "", "addresses at which no provider can be, comma-separated, beside those of the API server and of Sandkeep, which are "+
		"known: an API server behind another address, a NAT64 prefix of the cluster's own, nodes")
	flag.Parse()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	trouble := &pulse.Trouble{Clock: clock.RealClock{}}
	return o.Run(ctx, version, managerOptions(o, trouble), func(mgr ctrl.Manager) error {
		server, err := newServer(mgr, o, trouble)
		if err != nil {
			return err
		}
		return errors.Join(metrics.Registry.Register(server.Metrics), mgr.Add(server), mgr.AddReadyzCheck("serving", server.Ready))
	})
}

// managerOptions elect no leader: every replica serves.
func managerOptions(o options, trouble *pulse.Trouble) ctrl.Options {
	m := o.Options("", cacheOptions(trouble))
	m.GracefulShutdownTimeout = new(gateway.LeaveTime + gateway.DrainTime + gateway.CutTime + ledger.Interval) // what the last streams used is written after them
	return m
}

// cacheOptions keep what the gateway must not know out of its memory: of pods it sees those of Sessions, of Secrets those of the keep.
func cacheOptions(trouble *pulse.Trouble) cache.Options {
	ours, err := labels.NewRequirement(v1alpha1.LabelSession, selection.Exists, nil)
	utilruntime.Must(err)
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                {Label: labels.NewSelector().Add(*ours), Transform: slimPod},
			&v1alpha1.Session{}:          {Transform: slimSession},
			&corev1.Secret{}:             {Namespaces: map[string]cache.Config{v1alpha1.NamespaceKeys: {}}},
			&corev1.Service{}:            {Namespaces: ownServices()},
			&discoveryv1.EndpointSlice{}: {Namespaces: ownServices()},
			&coordinationv1.Lease{}:      {Namespaces: map[string]cache.Config{v1alpha1.NamespaceSystem: {LabelSelector: labels.SelectorFromSet(labels.Set{v1alpha1.LabelPulse: ""})}}},
		},
		DefaultTransform:         cache.TransformStripManagedFields(),
		DefaultWatchErrorHandler: trouble.WatchFailed,
	}
}

// newServer is the gateway over the caches of a manager.
func newServer(mgr ctrl.Manager, o options, trouble *pulse.Trouble) (*gateway.Server, error) {
	tokens, err := reviewer(mgr.GetConfig())
	if err != nil {
		return nil, err
	}
	screen, err := screened(mgr.GetCache(), tokens, o.anyAddress)
	if err != nil {
		return nil, err
	}
	fixed, err := fixedAddresses(os.Getenv, o.forbiddenCIDRs)
	if err != nil {
		return nil, err
	}
	realTime := clock.RealClock{}
	beat := &pulse.Pulse{Cache: mgr.GetCache(), Writer: mgr.GetClient(), Clock: realTime, Pod: os.Getenv("POD_NAME"), UID: types.UID(os.Getenv("POD_UID")), Trouble: trouble}
	watched := pulse.Reader{Cache: mgr.GetCache(), Live: mgr.GetAPIReader(), Fresh: beat.Fresh}
	forbidden := ownAddresses{reader: mgr.GetCache(), fixed: fixed}
	return &gateway.Server{
		Address: o.address, Fence: gateway.Remembered(gateway.PolicyFence(watched), realTime),
		Identity: &identity.Authenticator{
			Tokens: screen, Cache: watched, Live: mgr.GetAPIReader(), AnyAddress: o.anyAddress,
		},
		Cache: watched, Live: mgr.GetAPIReader(), Access: access.New(mgr.GetClient(), realTime), Pulse: beat,
		Ledger:   ledger.New(mgr.GetAPIReader(), mgr.GetClient(), realTime),
		Limits:   limit.New(mgr.GetAPIReader(), watched, mgr.GetClient(), realTime, os.Getenv("POD_NAME")),
		Witness:  witness.New(mgr.GetClient(), realTime, os.Getenv("POD_NAME"), types.UID(os.Getenv("POD_UID"))),
		Recorder: mgr.GetEventRecorder("sandkeep-gateway"), Clock: realTime, Metrics: gateway.NewMetrics(), Forbidden: forbidden.now, Log: mgr.GetLogger(),
	}, nil
}

// Of addresses that no watched pod has, so many requests a second are looked at, and so many at once after a time of silence: pods are there before the
// watch tells of them.
const (
	unknownRate  = 50
	unknownBurst = 100
)

// screened keeps from the API server what is no request of a sandbox.
func screened(watch cache.Cache, tokens authenticator.Request, anyAddress bool) (*identity.Screen, error) {
	screen := &identity.Screen{Tokens: tokens, Unknown: flowcontrol.NewTokenBucketPassiveRateLimiter(unknownRate, unknownBurst).TryAccept}
	if anyAddress {
		return screen, nil
	}
	screen.Known = &identity.Addresses{}
	pods, err := watch.GetInformer(context.Background(), &corev1.Pod{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch the addresses of pods: %w", err)
	}
	if _, err := pods.AddEventHandler(screen.Known); err != nil {
		return nil, fmt.Errorf("watch the addresses of pods: %w", err)
	}
	return screen, nil
}

// maxReviews is how many tokens the API server is asked about at a time.
const maxReviews = 32

// reviewTime is how long the API server's answer about a token counts. That a pod has ended shows sooner, in its own status.
const reviewTime = time.Minute

// reviewer asks the API server about tokens for the gateway.
func reviewer(config *rest.Config) (authenticator.Request, error) {
	config = rest.CopyConfig(config)
	config.Wrap(func(transport http.RoundTripper) http.RoundTripper { return identity.AtMost(maxReviews, transport) })
	c, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for token reviews: %w", err)
	}
	delegated := authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient: c, TokenAccessReviewTimeout: 10 * time.Second, CacheTTL: reviewTime,
		APIAudiences:        authenticator.Audiences{v1alpha1.TokenAudience},
		WebhookRetryBackoff: &wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 4},
	}
	tokens, _, err := delegated.New()
	if err != nil {
		return nil, fmt.Errorf("set up token reviews: %w", err)
	}
	return tokens, nil
}
