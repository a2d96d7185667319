// Command keeper looks after credentials: the shape and the health of keys, and the certificates of the gateway.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/apiprovider"
	"github.com/sandkeep/sandkeep/controllers/clustercredential"
	"github.com/sandkeep/sandkeep/controllers/credential"
	"github.com/sandkeep/sandkeep/controllers/gatewaycertificate"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
	"github.com/sandkeep/sandkeep/internal/operator"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// version is set by the linker.
var version = "unknown"

func main() {
	f := &operator.Flags{}
	f.Bind(flag.CommandLine, ":8443")
	f.BindLeaderElection(flag.CommandLine)
	flag.Parse()
	if err := run(ctrl.SetupSignalHandler(), f); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f *operator.Flags) error {
	return f.Run(ctx, version, f.Options("keeper.sandkeep.dev", cacheOptions()), func(mgr ctrl.Manager) error {
		return errors.Join(setUpReconcilers(ctx, mgr), mgr.AddReadyzCheck("ping", healthz.Ping))
	})
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
