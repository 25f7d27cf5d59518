"""One module or folder per process of the cluster; thin: messages in, rules asked, parts called, messages out."""
