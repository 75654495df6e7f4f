"""What is adopted is claimed under the alias that it has, and only once."""

from gpupass.lending.claims import adopted, end_of_claim
from gpupass.lending.lender import Loan
from gpupass.model.domain import Domain, DomainState, Hostdev
from gpupass.model.host import Host

LOAN = Loan(address="0000:01:00.0")
DOMAIN = Domain(
    name="vm1",
    uuid="u",
    state=DomainState.RUNNING,
    live=(Hostdev(mdev="other", alias="ua-other"), Hostdev(address=LOAN.address, alias="ua-by-hand")),
)


def test_what_somebody_else_attached_is_claimed_until_the_claim_ends():
    nobody = Host(devices=())
    (mark,) = adopted(nobody, DOMAIN, LOAN)
    assert (mark.domain, mark.alias) == ("vm1", "ua-by-hand")
    claimed = nobody.marked((mark,), ())
    assert adopted(claimed, DOMAIN, LOAN) == ()
    (end,) = end_of_claim(claimed, LOAN)
    assert end_of_claim(claimed.after((end,)), LOAN) == ()
