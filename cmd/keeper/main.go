// Command keeper looks after credentials: the shape and the health of keys, and the certificates of the gateway.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
	"github.com/sandkeep/sandkeep/controllers/apiprovider"
	"github.com/sandkeep/sandkeep/controllers/clustercredential"
	"github.com/sandkeep/sandkeep/controllers/credential"
	"github.com/sandkeep/sandkeep/controllers/gatewaycertificate"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// version is set by the linker.
var version = "unknown"

// options are the flags of the keeper.
type options struct {
	metricsAddress, probeAddress string
	leaderElect                  bool
	zap                          zap.Options
}

func main() {
	o := options{}
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics, served by https to who may read them; 0 for none")
	flag.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flag.BoolVar(&o.leaderElect, "leader-elect", false, "work only while holding the leader lease, for more than one replica")
	o.zap.BindFlags(flag.CommandLine)
	flag.Parse()
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.zap)))
	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), managerOptions(o))
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := errors.Join(
		setUpReconcilers(ctx, mgr),
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
		LeaderElectionID:              "keeper.sandkeep.dev",
		LeaderElectionReleaseOnCancel: true,
		Cache:                         cacheOptions(),
	}
}

// cacheOptions keep to what the keeper may read: Secrets of the keep, and ConfigMaps beside the programs, which are what gateways tell of
// credentials, and what sandboxes trust.
func cacheOptions() cache.Options {
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:    {Namespaces: map[string]cache.Config{v1alpha1.NamespaceKeys: {}, v1alpha1.NamespaceVault: {}}},
			&corev1.ConfigMap{}: {Namespaces: map[string]cache.Config{v1alpha1.NamespaceSystem: {}}},
		},
		// No reconciler reads them, and they are much of an object's size.
		DefaultTransform: cache.TransformStripManagedFields(),
	}
}

func setUpReconcilers(ctx context.Context, mgr ctrl.Manager) error {
	base := acceptance.Base{
		Client: mgr.GetClient(), Recorder: mgr.GetEventRecorder("sandkeep"), Clock: clock.RealClock{}, FieldOwner: v1alpha1.FieldOwnerKeeper,
	}
	live, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	certificates := &gatewaycertificate.Reconciler{Client: live, Clock: base.Clock, Metrics: gatewaycertificate.NewMetrics()}
	return errors.Join(
		metrics.Registry.Register(keyhealth.NewMetrics(ctx, mgr.GetClient())),
		metrics.Registry.Register(certificates.Metrics),
		apiprovider.SetupWithManager(mgr, base),
		credential.SetupWithManager(mgr, base),
		clustercredential.SetupWithManager(mgr, base),
		certificates.SetupWithManager(mgr),
	)
}
