"""The lab's node: a kubelet in small that runs each Pod's containers as local processes."""
