package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisionerName is what a StorageClass names to have its claims bound to directories of the node.
const provisionerName = "cluster.sandkeep.dev/directory"

// runProvisioner makes and removes volumes for claims until the process is ended.
func runProvisioner() {
	flags := flag.NewFlagSet("provisioner", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "path of the kubeconfig")
	root := flags.String("root", "", "directory under which volumes are made")
	_ = flags.Parse(os.Args[1:]) // ends the process on an error
	if err := provision(*kubeconfig, *root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func provision(kubeconfig, root string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	ctx := klog.NewContext(context.Background(), klog.Background())
	// One provisioner runs per cluster, so there is nobody to elect.
	controller.NewProvisionController(ctx, client, provisionerName, directories{root: root},
		controller.LeaderElection(false), controller.AddFinalizer(false)).Run(ctx)
	return nil
}

// directories provisions each volume as one directory below root.
type directories struct{ root string }

// Provision makes the directory of a volume. It belongs to root and others only read it, as on a fresh disk: pods that do
// not run as root need an fsGroup here as they do elsewhere. The requested size is recorded but not enforced.
func (d directories) Provision(_ context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(d.root, o.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("make the volume: %w", err)
	}
	return volume(o, path), controller.ProvisioningFinished, nil
}

// Delete removes the directory of a volume with everything in it.
func (d directories) Delete(_ context.Context, pv *corev1.PersistentVolume) error {
	if err := os.RemoveAll(filepath.Join(d.root, pv.Name)); err != nil {
		return fmt.Errorf("remove the volume: %w", err)
	}
	return nil
}

// volume describes a directory as a local volume of the selected node. Local volumes honour fsGroup, hostPath ones do not.
func volume(o controller.ProvisionOptions, path string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			MountOptions:                  o.StorageClass.MountOptions,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{o.SelectedNodeName},
				}}}},
			}},
		},
	}
}
