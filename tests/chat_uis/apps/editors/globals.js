// Draft was written for bundlers that give it the name of Node.
window.global = window;
