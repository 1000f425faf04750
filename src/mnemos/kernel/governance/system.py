"""The view of the whole vault, for the kernel's own work: verify, jobs, copies, changes of form.

No public call takes or returns it, and of the rooms above only the stores may import this module,
to lift a format: the
import contracts (``make layers``) hold that.
"""

from mnemos.kernel.governance.views import SystemView, system_view

SYSTEM: SystemView = system_view()
"""Everything, of every tenant."""
