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
	"k8s.io/apimachinery/pkg/selection"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/session"
	"github.com/sandkeep/sandkeep/controllers/sessionclass"
	"github.com/sandkeep/sandkeep/internal/access"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/operator"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// version is set by the linker.
var version = "unknown"

// options are the flags of the manager.
type options struct {
	operator.Flags
	image                       string
	gatewayURL, systemNamespace string
	concurrency                 int
}

func main() {
	o := options{}
	o.Bind(flag.CommandLine, ":8443")
	o.BindLeaderElection(flag.CommandLine)
	flag.StringVar(&o.image, "image", os.Getenv("SANDKEEP_IMAGE"), "the Sandkeep image, from which sandboxd is copied into sandboxes (default: SANDKEEP_IMAGE)")
	flag.StringVar(&o.gatewayURL, "gateway-url", "https://sandkeep-gateway.sandkeep-system.svc", "where sandboxes find the gateway")
	flag.StringVar(&o.systemNamespace, "namespace", v1alpha1.NamespaceSystem, "the namespace of Sandkeep's programs, where the gateway's certificates are published")
	flag.IntVar(&o.concurrency, "concurrency", 8, "how many Sessions are reconciled at the same time")
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
	return o.Run(ctx, version, o.Options("manager.sandkeep.dev", cacheOptions(o)), func(mgr ctrl.Manager) error {
		return errors.Join(setUpReconcilers(ctx, mgr, o), mgr.AddReadyzCheck("ping", healthz.Ping))
	})
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
