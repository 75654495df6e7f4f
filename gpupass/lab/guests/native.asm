; A 512-byte guest that takes part in native PCIe hot-plug: it polls the slot registers of all ports on bus 0
; (PCIe base spec 7.5.3.10-11; QEMU hw/pci/pcie.c) and answers the attention button: power on for a slot that
; is off, after `seconds` power off for one that is on.
; On COM1: "R" when it runs, "P" for power on, "?" when asked to let go, "E" when it has.
bits 16
org 0x7c00

%define BUTTON   0x00010000     ; slot status: attention button pressed
%define OFF      0x0400         ; slot control: power controller off
%define CONTROLS 0x0700         ; that, and the power indicator
%define LIGHT    0x0100         ; the power indicator on
%define CLEAR    0x00090000     ; slot status, written back: button and presence change seen

start:
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00
        sti
        mov al, 'R'
        call say

scan:
        hlt                     ; the BIOS timer wakes us 18 times a second
        xor ebx, ebx            ; device and function on bus 0
next:
        xor di, di
        call read
        inc ax                  ; vendor 0xffff: nobody there
        jz none
        mov di, 0x08
        call read
        shr eax, 16
        cmp ax, 0x0604          ; a PCI bridge
        jne none
        mov di, 0x34
        call read
capability:
        movzx di, al
        and di, 0xfc
        jz none
        call read
        cmp al, 0x10            ; PCI Express
        je express
        mov al, ah
        jmp capability
express:
        test eax, 0x01000000    ; has a slot
        jz none
        add di, 0x18            ; slot control, slot status
        call read
        test eax, BUTTON
        jz none
        test ax, OFF
        jnz plug
        mov al, '?'
        call say
        call wait_seconds
        call read
        and eax, 0xffff
        or eax, CLEAR | CONTROLS
        mov cl, 'E'
        jmp answer
plug:
        and eax, 0xffff & ~CONTROLS
        or eax, CLEAR | LIGHT
        mov cl, 'P'
answer:
        out dx, eax             ; 0xcfc still points at the slot
        mov al, cl
        call say
none:
        inc bl
        jnz next
        jmp scan

read:                           ; eax = configuration register di of function bl
        mov eax, ebx
        shl eax, 8
        or eax, 0x80000000
        or ax, di
        mov dx, 0xcf8
        out dx, eax
        mov dx, 0xcfc
        in eax, dx
        ret

wait_seconds:
        mov si, [seconds]
.again: test si, si
        jz .done
        call read_second
        mov ch, al
.same:  hlt
        call read_second
        cmp al, ch
        je .same
        dec si
        jmp .again
.done:  ret

read_second:
        xor al, al
        out 0x70, al
        in al, 0x71
        ret

say:
        push dx
        mov dx, 0x3f8
        out dx, al
        pop dx
        ret

        times 508 - ($ - $$) db 0
seconds: dw 0                   ; lab-domain writes --seconds here (offset 508, little endian)
        dw 0xaa55
