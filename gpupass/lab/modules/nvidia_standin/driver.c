// SPDX-License-Identifier: GPL-2.0
/* The PCI driver `nvidia`: virtual functions become vGPUs, everything else a whole GPU.

   It takes by itself only igb cards no other driver has; anything else must be told by driver_override. There is no
   MODULE_DEVICE_TABLE, so nothing loads the module but a person: no other lab may find an NVIDIA driver. */
#include <linux/module.h>

#include "standin.h"

static int nvidia_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return pdev->is_virtfn ? vgpu_probe(pdev) : gpu_probe(pdev);
}

static void nvidia_remove(struct pci_dev *pdev)
{
	if (pdev->is_virtfn)
		vgpu_remove(pdev);
	else
		gpu_remove(pdev);
}

static const struct pci_device_id nvidia_ids[] = {
	{ PCI_DEVICE(0x8086, 0x10c9) },
	{ }
};

/* No sriov_configure, as NVIDIA's: a write to sriov_numvfs is refused, sriov-manage goes through pci-pf-stub. */
static struct pci_driver nvidia_driver = {
	.name = "nvidia",
	.id_table = nvidia_ids,
	.probe = nvidia_probe,
	.remove = nvidia_remove,
	.driver_managed_dma = true,
};

static const struct attribute_group *card_files[] = {
	&card_group,
	&mig_group,
	&types_group,
	NULL,
};

static int __init standin_begin(void)
{
	int error = cards_begin(card_files);

	if (error)
		return error;
	error = gpus_begin();
	if (error)
		goto no_gpus;
	error = pci_register_driver(&nvidia_driver);
	if (error)
		goto no_driver;
	return 0;

no_driver:
	gpus_end();
no_gpus:
	cards_end();
	return error;
}

static void __exit standin_end(void)
{
	pci_unregister_driver(&nvidia_driver);
	gpus_end();
	cards_end();
}

module_init(standin_begin);
module_exit(standin_end);
MODULE_DESCRIPTION("gpupass lab: a stand-in of NVIDIA's host driver, without NVIDIA's hardware or code");
MODULE_LICENSE("GPL");
