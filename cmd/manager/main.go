// Command manager runs the reconcilers of Sandkeep.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/session"
	"github.com/sandkeep/sandkeep/controllers/sessionclass"
	"github.com/sandkeep/sandkeep/internal/access"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// version is set by the linker.
var version = "unknown"

// options are the flags of the manager.
type options struct {
	metricsAddress, probeAddress string
	leaderElect                  bool
	image                        string
	gatewayURL, systemNamespace  string
	concurrency                  int
	zap                          zap.Options
}

func main() {
	o := options{}
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics, served by https to who may read them; 0 for none")
	flag.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flag.BoolVar(&o.leaderElect, "leader-elect", false, "work only while holding the leader lease, for more than one replica")
	flag.StringVar(&o.image, "image", os.Getenv("SANDKEEP_IMAGE"), "the Sandkeep image, from which sandboxd is copied into sandboxes (default: SANDKEEP_IMAGE)")
	flag.StringVar(&o.gatewayURL, "gateway-url", "https://sandkeep-gateway.sandkeep-system.svc", "where sandboxes find the gateway")
	flag.StringVar(&o.systemNamespace, "namespace", v1alpha1.NamespaceSystem, "the namespace of Sandkeep's programs, where the gateway's certificates are published")
	flag.IntVar(&o.concurrency, "concurrency", 8, "how many Sessions are reconciled at the same time")
	o.zap.BindFlags(flag.CommandLine)
	flag.Parse()
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.image == "" {
		return errors.New("no image: set SANDKEEP_IMAGE or --image to the Sandkeep image")
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.zap)))
	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), managerOptions(o))
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := errors.Join(
		setUpReconcilers(ctx, mgr, o),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("ping", healthz.Ping),
	); err != nil {
		return err
	}
	mgr.GetLogger().Info("Starting", "version", version)
	return mgr.Start(ctx)
}

func managerOptions(o options) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return ctrl.Options{
		Scheme: scheme,
		Metrics: metricsserver.Options{
			BindAddress: o.metricsAddress, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "manager.sandkeep.dev",
		LeaderElectionReleaseOnCancel: true,
		Cache:                         cacheOptions(o),
	}
}

// cacheOptions keep the caches small: of pods, ConfigMaps and volume claims they hold only those of Sessions.
func cacheOptions(o options) cache.Options {
	ours, err := labels.NewRequirement(v1alpha1.LabelSession, selection.Exists, nil)
	utilruntime.Must(err)
	ofSessions := cache.ByObject{Label: labels.NewSelector().Add(*ours)}
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: ofSessions,
			&corev1.ConfigMap{}: {Namespaces: map[string]cache.Config{
				cache.AllNamespaces: {LabelSelector: ofSessions.Label},
				o.systemNamespace:   {FieldSelector: fields.OneTermEqualSelector("metadata.name", keep.GatewayBundle)},
			}},
			&corev1.PersistentVolumeClaim{}: ofSessions,
		},
		// No reconciler reads them, and they are much of an object's size.
		DefaultTransform: cache.TransformStripManagedFields(),
	}
}

func setUpReconcilers(ctx context.Context, mgr ctrl.Manager, o options) error {
	base := acceptance.Base{
		Client: mgr.GetClient(), Recorder: mgr.GetEventRecorder("sandkeep"), Clock: clock.RealClock{}, FieldOwner: v1alpha1.FieldOwnerManager,
	}
	sessions := &session.Reconciler{
		Client: base.Client, Live: mgr.GetAPIReader(), Access: access.New(base.Client, base.Clock), Recorder: base.Recorder, Clock: base.Clock,
		Image: o.image, Metrics: session.NewMetrics(ctx, mgr.GetClient()), Patience: session.NewPatience(),
		GatewayURL: o.gatewayURL, SystemNamespace: o.systemNamespace,
	}
	return errors.Join(
		metrics.Registry.Register(sessions.Metrics),
		sessions.SetupWithManager(mgr, o.concurrency),
		sessionclass.SetupWithManager(mgr, base),
	)
}
