"""The slots of a host as an operator sees them: who made them."""

from gpupass.model.host import Host
from gpupass.model.mdev import Mdev, MdevBus, Mediated
from gpupass.planner.offers import offers_of


def test_who_made_it():
    uuid = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"
    for defined, owner in ((True, "mdevctl"), (False, "")):
        mdev = Mdev(uuid=uuid, type="mbochs-small", defined=defined)
        parent = MdevBus(address="mbochs", detail=Mediated(mdevs=(mdev,)))
        (offer,) = offers_of(Host(devices=(), mdev_buses=(parent,)), parent)
        assert (offer.owner, offer.state) == (owner, "free")
