; A 512-byte guest that never answers a hot-unplug request. On COM1: "R" when it runs.
bits 16
org 0x7c00
        mov al, 'R'
        mov dx, 0x3f8
        out dx, al
        sti
idle:   hlt
        jmp idle
        times 510 - ($ - $$) db 0
        dw 0xaa55
